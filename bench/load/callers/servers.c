#include "servers.h"

#include "../program.h"
#include "stun.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint8_t answers[CROWD_BATCH][STUN_HEADER];

void fr_servers_trunk(struct fr_servers *servers, const char *key_path, uint8_t key_id)
{
    uint8_t key[FR_CMAC_KEY];
    struct timespec now;
    FILE *file = fopen(key_path, "rb");
    if (!file || fread(key, 1, sizeof key, file) != sizeof key)
        fr_fail(key_path);
    fclose(file);
    fr_cmac_open(&servers->mac_key, key, FR_CMAC_FASTEST);
    clock_gettime(CLOCK_REALTIME, &now);
    servers->epoch_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    servers->key_id = key_id;
    servers->has_trunk = true;
}

static uint32_t transceiver_be(const struct fr_servers *servers, uint8_t transceiver)
{
    return htonl(servers->crowd->first_transceiver + transceiver);
}

static unsigned send_plain(struct fr_servers *servers, const struct fr_item *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        servers->outbox.vectors[i] = (struct iovec){(void *)items[i].payload, items[i].length};
        fr_outbox_address(&servers->outbox, i, transceiver_be(servers, items[i].transceiver), items[i].to_be,
                          items[i].to_port_be);
    }
    return fr_outbox_send(&servers->outbox, servers->fd, count);
}

static bool send_burst(struct fr_servers *servers, const struct fr_burst *burst, uint32_t source_be,
                       struct sockaddr_in relay)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))] = {0};
    const struct fr_datagram *first = &servers->writer.datagrams[burst->first_datagram];
    const struct fr_datagram *last = first + burst->datagram_count - 1;
    bool is_many = burst->datagram_count > 1;
    struct msghdr message = {.msg_name = &relay,
                             .msg_namelen = sizeof relay,
                             .msg_iov = &servers->writer.iovecs[first->first_iovec],
                             .msg_iovlen = (size_t)(last->first_iovec + last->iovec_count - first->first_iovec),
                             .msg_control = control,
                             .msg_controllen = is_many ? sizeof control : CMSG_SPACE(sizeof(struct in_pktinfo))};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = source_be};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IP;
    head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(head), &info, sizeof info);
    if (is_many) {
        head = CMSG_NXTHDR(&message, head);
        head->cmsg_level = SOL_UDP;
        head->cmsg_type = UDP_SEGMENT;
        head->cmsg_len = CMSG_LEN(sizeof burst->segment_bytes);
        memcpy(CMSG_DATA(head), &burst->segment_bytes, sizeof burst->segment_bytes);
    }
    while (sendmsg(servers->fd, &message, 0) < 0) {
        if (errno == ENOBUFS || errno == EPERM || errno == EAGAIN)
            return false;
        if (errno != EINTR && errno != ECONNREFUSED)
            fr_fail("sendmsg");
    }
    return true;
}

static bool is_same_way(const struct fr_item *a, const struct fr_item *b)
{
    return a->transceiver == b->transceiver && a->relay.sin_addr.s_addr == b->relay.sin_addr.s_addr
           && a->relay.sin_port == b->relay.sin_port;
}

/* All frames that one transceiver has for the relay of this item; returns how many were not taken. */
static unsigned send_bundles(struct fr_servers *servers, const struct fr_item *items, unsigned count,
                             const struct fr_item *like, bool *is_done)
{
    uint8_t transceiver = like->transceiver;
    struct fr_burst_head head = {.mac_key = &servers->mac_key,
                                 .epoch_us = servers->epoch_us,
                                 .sequence = &servers->sequences[transceiver],
                                 .key_id = servers->key_id,
                                 .kind = FR_BUNDLE_DOWN};
    unsigned frames = 0, refused = 0;
    fr_writer_reset(&servers->writer);
    fr_writer_begin(&servers->writer, &head);
    for (unsigned i = 0; i < count; i++) {
        if (!is_same_way(&items[i], like))
            continue;
        is_done[i] = true;
        struct fr_address client = fr_address_v4(items[i].to_be, items[i].to_port_be);
        fr_writer_add(&servers->writer, &client, items[i].payload, items[i].length, 0);
        frames++;
    }
    fr_writer_end(&servers->writer);
    for (unsigned i = 0; i < servers->writer.burst_count; i++)
        /* which frames a burst held is not worth knowing: one refused voids the run */
        refused += !send_burst(servers, &servers->writer.bursts[i], transceiver_be(servers, transceiver), like->relay);
    return refused ? frames : 0;
}

static unsigned send_items(struct fr_servers *servers, const struct fr_item *items, unsigned count)
{
    bool is_done[CROWD_BATCH] = {false};
    unsigned refused = 0;
    if (!servers->has_trunk)
        return send_plain(servers, items, count);
    for (unsigned i = 0; i < count; i++) {
        if (!is_done[i])
            refused += send_bundles(servers, items, count, &items[i], is_done);
    }
    return count - refused;
}

void fr_servers_send(struct fr_servers *servers, const uint32_t *calls, const uint64_t *due_ns, unsigned count)
{
    struct fr_crowd *crowd = servers->crowd;
    struct fr_way *way = &crowd->counts.way[DOWN];
    struct fr_item items[CROWD_BATCH];
    unsigned ready = 0;
    uint64_t now_ns = fr_now_ns();
    way->due += count;
    for (unsigned i = 0; i < count; i++) {
        const struct fr_call *call = &crowd->calls[calls[i]];
        if (!call->is_heard) {
            way->unready++;
            continue;
        }
        uint8_t *packet = servers->outbox.packets[ready];
        uint32_t length = fr_crowd_packet(crowd, calls[i], DOWN, due_ns[i], packet);
        items[ready++] = (struct fr_item){packet, length, call->reply_be, call->reply_port_be, call->transceiver,
                                          crowd->relays ? crowd->relays[calls[i]] : servers->relay};
        fr_crowd_late(crowd, DOWN, now_ns, due_ns[i]);
    }
    unsigned taken = ready ? send_items(servers, items, ready) : 0;
    way->sent += taken;
    crowd->counts.refused += ready - taken;
}

/* As our transceiver does: what has come by another relay is answered by that one (transceiver/ice.py, follow). */
static void follow(struct fr_crowd *crowd, uint32_t index, const struct fr_item *from)
{
    if (crowd->relays && index != CROWD_NOBODY)
        crowd->relays[index] = from->relay;
}

static uint32_t call_at(const struct fr_crowd *crowd, uint32_t client_be)
{
    uint32_t flow = ntohl(client_be) - crowd->first_client;
    return flow < crowd->flow_count ? crowd->owner[flow] : CROWD_NOBODY;
}

static void send_answers(struct fr_servers *servers)
{
    if (servers->item_count)
        servers->crowd->counts.refused += servers->item_count
                                          - send_items(servers, servers->items, servers->item_count);
    servers->item_count = 0;
}

/* A client's datagram as the transceiver sees it; `from` is where an answer goes. */
static void take(struct fr_servers *servers, const uint8_t *packet, uint32_t length, const struct fr_item *from,
                 uint64_t at_ns)
{
    struct fr_crowd *crowd = servers->crowd;
    if (fr_stun_kind_of(packet, length) == STUN_REQUEST) {
        crowd->counts.checks++;
        follow(crowd, call_at(crowd, from->to_be), from);
        if (servers->item_count == CROWD_BATCH)
            send_answers(servers);
        fr_stun_answer(packet, answers[servers->item_count]);
        struct fr_item *answer = &servers->items[servers->item_count];
        *answer = *from;
        answer->payload = answers[servers->item_count++];
        answer->length = STUN_HEADER;
        return;
    }
    uint32_t index = fr_crowd_arrive(crowd, UP, packet, length, at_ns, 0);
    if (index == CROWD_NOBODY)
        return;
    follow(crowd, index, from);
    struct fr_call *call = &crowd->calls[index];
    call->reply_be = from->to_be;
    call->reply_port_be = from->to_port_be;
    call->transceiver = from->transceiver;
    call->is_heard = 1;
}

static void take_bundle(struct fr_servers *servers, const uint8_t *datagram, uint32_t length,
                        struct fr_item from, uint64_t at_ns)
{
    static struct fr_frame frames[FR_BUNDLE_FRAMES];
    struct fr_trunk_header header;
    if (fr_trunk_read_header(datagram, length, &header) != 0) {
        servers->crowd->counts.way[UP].foreign++;
        return;
    }
    if (header.kind != FR_BUNDLE_UP)
        return;
    if (fr_trunk_read_frames(datagram, length, &header, frames) != 0) {
        servers->crowd->counts.way[UP].foreign++;
        return;
    }
    for (unsigned i = 0; i < header.frame_count; i++) {
        uint64_t low = frames[i].client.low;
        uint32_t halves[2];
        memcpy(halves, &low, sizeof halves);
        from.to_be = halves[1];
        from.to_port_be = frames[i].client.port_be;
        take(servers, frames[i].payload, frames[i].length, &from, at_ns);
    }
}

unsigned fr_servers_receive(struct fr_servers *servers)
{
    static struct fr_arrived arrived[WIRE_RECEIVES];
    unsigned count = fr_wire_receive(servers->fd, arrived);
    for (unsigned i = 0; i < count; i++) {
        const struct fr_arrived *one = &arrived[i];
        uint32_t transceiver = ntohl(one->local_be) - servers->crowd->first_transceiver;
        struct fr_item from = {.to_be = one->from_be, .to_port_be = one->from_port_be,
                               .transceiver = (uint8_t)transceiver, .relay = servers->relay};
        if (servers->crowd->relays)
            from.relay = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = one->from_port_be,
                                              .sin_addr.s_addr = one->from_be};
        if (transceiver >= servers->crowd->transceiver_count) {
            servers->crowd->counts.way[UP].foreign++;
            continue;
        }
        for (uint32_t at = 0; at < one->length; at += one->segment) {
            uint32_t rest = one->length - at, length = rest < one->segment ? rest : one->segment;
            if (servers->has_trunk)
                take_bundle(servers, one->bytes + at, length, from, one->at_ns);
            else
                take(servers, one->bytes + at, length, &from, one->at_ns);
        }
    }
    send_answers(servers);
    return count;
}
