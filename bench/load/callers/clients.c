#include "clients.h"

#include "../program.h"
#include "stun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fr_clients_load(struct fr_clients *clients, const char *path, uint32_t stages)
{
    FILE *file = fopen(path, "rb");
    uint8_t head[2];
    uint32_t count = 0;
    if (!file || stages < 1 || stages > OPENING_STAGES_MAX)
        fr_fail(path);
    while (fread(head, 1, 2, file) == 2) {
        size_t length = (size_t)head[0] << 8 | head[1];
        uint8_t *bytes = malloc(length ? length : 1);
        clients->openings = realloc(clients->openings, (count + 1) * sizeof *clients->openings);
        if (!bytes || !clients->openings || fread(bytes, 1, length, file) != length)
            fr_fail(path);
        clients->openings[count++] = (struct iovec){bytes, length};
    }
    fclose(file);
    if (count == 0 || count % stages)
        fr_fail("openings are not whole");
    clients->stages = stages;
    clients->record_count = count / stages;
}

static void put_opening(struct fr_clients *clients, unsigned i, uint32_t index, uint64_t due_ns)
{
    struct fr_crowd *crowd = clients->crowd;
    struct fr_call *call = &crowd->calls[index];
    uint32_t stage = call->stage < clients->stages ? call->stage : clients->stages - 1;
    clients->outbox.vectors[i] = clients->openings[call->record * clients->stages + stage];
    crowd->opened_ns[index] = due_ns;
    crowd->counts.openings++;
}

/* A new call brings another token, a moved one the same from another address. */
static void change(struct fr_clients *clients, uint32_t index)
{
    struct fr_crowd *crowd = clients->crowd;
    struct fr_call *call = &crowd->calls[index];
    if (!fr_crowd_move(crowd, index))
        fr_fail("more calls than free addresses");
    crowd->counts.calls_changed += call->change == CHANGE_CALL;
    crowd->counts.addresses_changed += call->change == CHANGE_ADDRESS;
    if (call->change == CHANGE_CALL && clients->record_count)
        call->record = call->flow % clients->record_count;
    call->change = CHANGE_NONE;
}

static void put_media(struct fr_clients *clients, unsigned i, uint32_t index, uint64_t due_ns)
{
    uint8_t *at = clients->outbox.packets[i];
    uint32_t length = fr_crowd_packet(clients->crowd, index, UP, due_ns, at + PREFIX_MAX);
    clients->outbox.vectors[i] = (struct iovec){at + PREFIX_MAX, length};
    if (clients->has_channel) {
        at[0] = (uint8_t)(clients->channel >> 8);
        at[1] = (uint8_t)clients->channel;
        at[2] = (uint8_t)(length >> 8);
        at[3] = (uint8_t)length;
        clients->outbox.vectors[i] = (struct iovec){at, length + PREFIX_MAX};
    }
}

static void address(struct fr_clients *clients, unsigned i, uint32_t index)
{
    const struct fr_crowd *crowd = clients->crowd;
    const struct sockaddr_in *target = &clients->targets[clients->target_count > 1 ? index % clients->target_count : 0];
    fr_outbox_address(&clients->outbox, i, fr_crowd_client_be(crowd, &crowd->calls[index]), target->sin_addr.s_addr,
                      target->sin_port);
}

void fr_clients_send(struct fr_clients *clients, const uint32_t *calls, const uint64_t *due_ns, unsigned count)
{
    struct fr_crowd *crowd = clients->crowd;
    struct fr_way *way = &crowd->counts.way[UP];
    unsigned media = 0;
    for (unsigned i = 0; i < count; i++) {
        bool is_media = true;
        if (crowd->calls[calls[i]].change != CHANGE_NONE) {
            change(clients, calls[i]);
            /* without openings the first packet from the new address is what opens it */
            is_media = clients->stages == 0;
        }
        if (is_media)
            put_media(clients, i, calls[i], due_ns[i]);
        else
            put_opening(clients, i, calls[i], due_ns[i]);
        address(clients, i, calls[i]);
        media += is_media;
    }
    uint64_t now_ns = fr_now_ns();
    for (unsigned i = 0; i < count; i++)
        fr_crowd_late(crowd, UP, now_ns, due_ns[i]);
    unsigned refused = count - fr_outbox_send(&clients->outbox, clients->fd, count);
    way->due += media;
    way->sent += media > refused ? media - refused : 0;
    crowd->counts.refused += refused;
}

void fr_clients_open(struct fr_clients *clients, const uint32_t *calls, const uint64_t *due_ns, unsigned count)
{
    struct fr_crowd *crowd = clients->crowd;
    for (unsigned i = 0; i < count; i++) {
        put_opening(clients, i, calls[i], due_ns[i]);
        address(clients, i, calls[i]);
    }
    uint64_t now_ns = fr_now_ns();
    for (unsigned i = 0; i < count; i++)
        fr_crowd_late(crowd, UP, now_ns, due_ns[i]);
    crowd->counts.refused += count - fr_outbox_send(&clients->outbox, clients->fd, count);
}

static void take_answer(struct fr_clients *clients, const struct fr_arrived *arrived, bool is_success)
{
    struct fr_crowd *crowd = clients->crowd;
    uint32_t flow = ntohl(arrived->local_be) - crowd->first_client;
    uint32_t index = flow < crowd->flow_count ? crowd->owner[flow] : CROWD_NOBODY;
    if (!is_success)
        crowd->counts.refusals++;
    if (!is_success || index == CROWD_NOBODY || !crowd->opened_ns[index])
        return;
    uint64_t took_ns = arrived->at_ns > crowd->opened_ns[index] ? arrived->at_ns - crowd->opened_ns[index] : 0;
    fr_histogram_add(&crowd->page->histogram[OPENING], took_ns);
    crowd->opened_ns[index] = 0;
    crowd->counts.answers++;
    if (crowd->calls[index].stage < clients->stages)
        crowd->calls[index].stage++;
}

static void take(struct fr_clients *clients, const struct fr_arrived *arrived)
{
    const uint8_t *packet = arrived->bytes;
    uint32_t length = arrived->length;
    if (clients->has_channel && length > PREFIX_MAX && packet[0] >> 4 == 4) {
        packet += PREFIX_MAX;
        length -= PREFIX_MAX;
    }
    enum fr_stun_kind kind = fr_stun_kind_of(packet, length);
    if (kind == STUN_SUCCESS || kind == STUN_ERROR)
        take_answer(clients, arrived, kind == STUN_SUCCESS);
    else
        fr_crowd_arrive(clients->crowd, DOWN, packet, length, arrived->at_ns, arrived->local_be);
}

unsigned fr_clients_receive(struct fr_clients *clients)
{
    static struct fr_arrived arrived[WIRE_RECEIVES];
    unsigned count = fr_wire_receive(clients->fd, arrived);
    for (unsigned i = 0; i < count; i++) {
        struct fr_arrived one = arrived[i];
        for (uint32_t at = 0; at < arrived[i].length; at += arrived[i].segment) {
            uint32_t rest = arrived[i].length - at;
            one.bytes = arrived[i].bytes + at;
            one.length = rest < arrived[i].segment ? rest : arrived[i].segment;
            take(clients, &one);
        }
    }
    return count;
}
