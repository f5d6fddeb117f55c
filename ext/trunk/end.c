/* One end of the trunk: a socket, its peers, and who may speak to it. See end.h. */
#include "trunk/end.h"

#include "clock.h"
#include "verdict.h"

static int known_sender(struct fr_trunk_end *end, const struct fr_address *source)
{
    const struct fr_peer *guess = &end->peers->peers[end->last_peer];

    /* the segments of one burst come from one sender */
    if (guess->is_used && fr_address_equal(&guess->address, source))
        return end->last_peer;
    return fr_peer_find(end->peers, &end->hash_key, source);
}

static int authenticate(const struct fr_trunk_end *end, const uint8_t *datagram, uint32_t length,
                        const struct fr_trunk_header *header)
{
    const struct fr_key *key = fr_keyring_find(end->keyring, header->key_id);

    if (!key || end->now->unix_s >= key->open_until_s)
        return FR_TRUNK_UNKNOWN_KEY;
    return fr_trunk_check_mac(datagram, length, header, &key->trunk_mac);
}

int fr_trunk_end_judge(struct fr_trunk_end *end, const struct fr_address *source, const uint8_t *datagram,
                       uint32_t length, struct fr_trunk_header *header, int *slot)
{
    int refusal = fr_trunk_read_header(datagram, length, header);

    end->judged++;
    if (refusal)
        return refusal;
    /* known senders too: the list may have become narrower since they were let in */
    if (!fr_allowed_hold(end->allowed, source))
        return FR_TRUNK_SOURCE;
    refusal = authenticate(end, datagram, length, header);
    if (refusal)
        return refusal;
    bool is_up = header->kind == FR_BUNDLE_UP || header->kind == FR_HELLO_UP;
    if (is_up == end->is_relay)
        return FR_TRUNK_DIRECTION;
    *slot = known_sender(end, source);
    /* only now may a sender take a slot: it has shown that it holds the key */
    if (*slot < 0)
        *slot = fr_peer_insert(end->peers, &end->hash_key, source, end->now->ms, end->peer_forget_ms);
    if (*slot < 0)
        return FR_TRUNK_PEERS_FULL;
    end->last_peer = *slot;
    struct fr_peer *peer = &end->peers->peers[*slot];
    if (!fr_peer_accept(peer, header->epoch_us, header->sequence, end->now->ms, end->peer_forget_ms))
        return FR_TRUNK_REPLAYED;
    if (header->kind == FR_BUNDLE_UP || header->kind == FR_BUNDLE_DOWN)
        return FR_TRUNK_BUNDLE;
    struct fr_hello hello;
    refusal = fr_trunk_read_hello(datagram, header, &hello);
    if (refusal)
        return refusal;
    fr_peer_heard_hello(peer, &hello, fr_monotonic_us());
    return FR_TRUNK_HELLO;
}

bool fr_trunk_end_head(struct fr_trunk_end *end, unsigned slot, enum fr_trunk_kind kind, uint16_t via,
                       struct fr_burst_head *head)
{
    int key_id = fr_keyring_trunk_id(end->keyring, end->now->unix_s);

    if (key_id < 0)
        return false;
    *head = (struct fr_burst_head){
        .mac_key = &end->keyring->keys[key_id].trunk_mac,
        .epoch_us = end->epoch_us,
        .sequence = &end->peers->peers[slot].sequence_sent,
        .via = via,
        .key_id = (uint8_t)key_id,
        .kind = (uint8_t)kind,
    };
    return true;
}

unsigned fr_trunk_end_pack(struct fr_trunk_end *end, const struct fr_grouping *grouping,
                           const struct fr_outgoing *outgoing)
{
    struct fr_burst_head head;
    unsigned left_out = 0, burst = 0;
    /* the same for every group but for peer and via */
    bool has_key = fr_trunk_end_head(end, 0, end->is_relay ? FR_BUNDLE_UP : FR_BUNDLE_DOWN, 0, &head);

    fr_writer_reset(&end->writer);
    for (unsigned at = 0; at < grouping->count; at++) {
        const struct fr_group *group = &grouping->groups[at];
        if (!has_key) {
            left_out += group->count;
            continue;
        }
        head.via = fr_group_via(group);
        head.sequence = &end->peers->peers[fr_group_peer(group)].sequence_sent;
        fr_writer_begin(&end->writer, &head);
        fr_writer_add_chain(&end->writer, outgoing, grouping->next, group->first, group->count);
        fr_writer_end(&end->writer);
        for (; burst < end->writer.burst_count; burst++)
            end->burst_peer[burst] = fr_group_peer(group);
    }
    return left_out;
}
