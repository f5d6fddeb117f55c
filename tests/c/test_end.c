/* One end of the trunk: the order of its checks, who becomes a peer, and batches sorted and packed by where they go. */
#include "trunk/end.h"

#include <arpa/inet.h>

#include "check.h"
#include "trunk/group.h"
#include "verdict.h"

enum { KEY_ID = 3, RETIRED_ID = 4, UNIX_S = 1000, NOW_MS = 500000 };

static struct fr_trunk_end relay, transceiver;
static struct fr_peer_page relay_peers, transceiver_peers;
static struct fr_keyring ring;
static struct fr_allowed allowed;
static struct fr_now now = {.ms = NOW_MS, .unix_s = UNIX_S};
static struct fr_grouping grouping;

static struct fr_address inside(unsigned host)
{
    return fr_address_v4(htonl(0x0a000000u + host), htons(4000));
}

static void open_end(struct fr_trunk_end *end, struct fr_peer_page *peers, bool is_relay)
{
    memset(end, 0, sizeof *end);
    memset(peers, 0, sizeof *peers);
    peers->capacity = 2;
    end->is_relay = is_relay;
    end->peer_forget_ms = FR_PEER_FORGET_MS;
    end->epoch_us = 7;
    end->keyring = &ring;
    end->allowed = &allowed;
    end->now = &now;
    end->peers = peers;
}

static void open_both(void)
{
    open_end(&relay, &relay_peers, true);
    open_end(&transceiver, &transceiver_peers, false);
    struct fr_address address = inside(1);
    CHECK(fr_peer_insert(&transceiver_peers, &transceiver.hash_key, &address, NOW_MS, 1) == 0);
}

/* The transceiver's next datagram of one frame, in a heap buffer of its exact size, altered as the rows say. */
static uint8_t *sent_down(size_t *length)
{
    static const uint8_t byte[1] = {0x80};
    const struct fr_address client = inside(99);
    const uint8_t *payloads[] = {byte};
    const uint32_t lengths[] = {1};
    const struct fr_outgoing outgoing = {.client = &client, .payload = payloads, .length = lengths};
    memset(&grouping, 0, sizeof grouping);
    fr_group_join(&grouping, 0, 0, 12);
    CHECK(fr_trunk_end_pack(&transceiver, &grouping, &outgoing) == 0);
    CHECK(transceiver.writer.datagram_count == 1 && transceiver.burst_peer[0] == 0);
    const struct iovec *iovecs = transceiver.writer.iovecs;
    *length = iovecs[0].iov_len + 1;
    uint8_t *bytes = check_copy(iovecs[0].iov_base, *length);
    bytes[*length - 1] = byte[0];
    return bytes;
}

static int judged(const struct fr_address *source, const uint8_t *datagram, size_t length)
{
    struct fr_trunk_header header;
    int slot = -1, verdict = fr_trunk_end_judge(&relay, source, datagram, (uint32_t)length, &header, &slot);
    CHECK(verdict != FR_TRUNK_BUNDLE || (slot >= 0 && header.via == 12 && header.key_id == KEY_ID));
    return verdict;
}

/* Each row spoils one thing more from the last check to the first, so the earlier check must be the one that speaks. */
static void the_first_check_that_fails_speaks(void)
{
    struct fr_address source = inside(2), outside = fr_address_v4(htonl(0x0b000001u), htons(1));
    size_t length;
    open_both();
    uint8_t *bytes = sent_down(&length);
    CHECK(judged(&source, bytes, length) == FR_TRUNK_BUNDLE);
    CHECK(judged(&source, bytes, length) == FR_TRUNK_REPLAYED);
    relay.is_relay = false;
    CHECK(judged(&source, bytes, length) == FR_TRUNK_DIRECTION);
    bytes[24] ^= 1;
    CHECK(judged(&source, bytes, length) == FR_TRUNK_BAD_MAC);
    bytes[6] = 0xff;
    CHECK(judged(&source, bytes, length) == FR_TRUNK_TRUNCATED);
    for (unsigned key_id = 0; key_id < 256; key_id++) {
        bytes[1] = (uint8_t)key_id;
        CHECK((judged(&source, bytes, length) == FR_TRUNK_UNKNOWN_KEY) == (key_id != KEY_ID));
    }
    CHECK(judged(&outside, bytes, length) == FR_TRUNK_SOURCE);
    bytes[0] = 0x21;
    CHECK(judged(&outside, bytes, length) == FR_TRUNK_MALFORMED);
    CHECK(judged(&outside, bytes, FR_TRUNK_HEADER - 1) == FR_TRUNK_TRUNCATED);
    free(bytes);
}

/* The list may be made narrower while peers are known, and the page outlives a restart with another list. */
static void a_known_sender_outside_the_allowed_networks_is_refused(void)
{
    struct fr_address source = inside(2);
    struct fr_allowed before = allowed;
    size_t length;
    open_both();
    uint8_t *bytes = sent_down(&length);
    CHECK(judged(&source, bytes, length) == FR_TRUNK_BUNDLE && relay.last_peer == 0);
    free(bytes);
    bytes = sent_down(&length);
    struct fr_peer known = relay_peers.peers[0];
    allowed.networks[0].low = fr_address_v4_low(htonl(0x0b000000u));
    CHECK(judged(&source, bytes, length) == FR_TRUNK_SOURCE);
    allowed.count = 0;
    CHECK(judged(&source, bytes, length) == FR_TRUNK_SOURCE);
    CHECK(memcmp(&known, &relay_peers.peers[0], sizeof known) == 0);
    allowed = before;
    CHECK(judged(&source, bytes, length) == FR_TRUNK_BUNDLE);
    free(bytes);
}

static void only_who_holds_the_key_takes_a_slot(void)
{
    size_t length;
    open_both();
    uint8_t *bytes = sent_down(&length);
    struct fr_address source = inside(2);
    bytes[30] ^= 1;
    CHECK(judged(&source, bytes, length) == FR_TRUNK_BAD_MAC && relay_peers.used == 0);
    bytes[30] ^= 1;
    for (unsigned host = 2; host < 5; host++) {
        source = inside(host);
        CHECK(judged(&source, bytes, length) == (host < 4 ? FR_TRUNK_BUNDLE : FR_TRUNK_PEERS_FULL));
    }
    CHECK(relay_peers.used == 2);
    free(bytes);
}

static void without_a_key_that_opens_nothing_is_sent(void)
{
    const struct fr_outgoing outgoing = {0};
    open_both();
    memset(&grouping, 0, sizeof grouping);
    for (uint16_t i = 0; i < 5; i++)
        fr_group_join(&grouping, i, 0, i / 3);
    now.unix_s = UINT64_MAX; /* past every key */
    CHECK(fr_trunk_end_pack(&transceiver, &grouping, &outgoing) == 5);
    CHECK(transceiver.writer.datagram_count == 0 && transceiver_peers.peers[0].sequence_sent == 0);
    now.unix_s = UNIX_S;
}

/* There is one group for each peer and via, and it holds its frames in the order of arrival. */
static void frames_are_grouped_by_peer_and_via(void)
{
    uint32_t state = 1;
    for (unsigned batch = 0; batch < 200; batch++) {
        uint16_t peer[FR_BATCH], via[FR_BATCH];
        unsigned seen = 0, pairs = 0;
        bool has[8][4] = {{false}};
        memset(&grouping, 0, sizeof grouping);
        for (uint16_t i = 0; i < FR_BATCH; i++) {
            state = state * 1664525u + 1013904223u;
            peer[i] = (uint16_t)(state >> 29);
            via[i] = (uint16_t)(state >> 27 & 3);
            pairs += !has[peer[i]][via[i]];
            has[peer[i]][via[i]] = true;
            fr_group_join(&grouping, i, peer[i], via[i]);
        }
        CHECK(grouping.count == pairs);
        for (unsigned at = 0; at < grouping.count; at++) {
            const struct fr_group *group = &grouping.groups[at];
            int previous = -1;
            for (unsigned left = group->count, i = group->first; left; left--, i = grouping.next[i], seen++) {
                CHECK((int)i > previous && peer[i] == peer[group->first] && via[i] == via[group->first]);
                previous = (int)i;
            }
            CHECK(previous == group->last);
        }
        CHECK(seen == FR_BATCH);
    }
}

int main(void)
{
    static const uint8_t secret[FR_SECRET_LENGTH] = {9}, retired[FR_SECRET_LENGTH] = {8};
    CHECK(fr_keyring_add(&ring, KEY_ID, secret, UNIX_S, UINT64_MAX) == 0);
    CHECK(fr_keyring_add(&ring, RETIRED_ID, retired, 1, UNIX_S) == 0);
    allowed.count = 1;
    allowed.networks[0] = (struct fr_network){
        .low = fr_address_v4_low(htonl(0x0a000000u)), .high_mask = UINT64_MAX,
        .low_mask = fr_address_v4_low(htonl(0xff000000u)),
    };
    the_first_check_that_fails_speaks();
    a_known_sender_outside_the_allowed_networks_is_refused();
    only_who_holds_the_key_takes_a_slot();
    without_a_key_that_opens_nothing_is_sent();
    frames_are_grouped_by_peer_and_via();
    fr_keyring_wipe(&ring);
    return check_result();
}
