/* The other ends of the trunk: sequence numbers, replay windows, HELLO, silence. See peer.h. */
#include "trunk/peer.h"

#include <errno.h>
#include <string.h>

static uint32_t home_of(const struct fr_hash_key *key, const struct fr_address *address)
{
    return (uint32_t)fr_hash_address(key, address) & (FR_PEER_INDEX - 1);
}

int fr_peer_find(const struct fr_peer_page *page, const struct fr_hash_key *key, const struct fr_address *address)
{
    uint32_t at = home_of(key, address);

    /* at most half full, so an empty place ends every run */
    for (; page->index[at]; at = (at + 1) & (FR_PEER_INDEX - 1)) {
        int slot = page->index[at] - 1;
        if (fr_address_equal(&page->peers[slot].address, address))
            return slot;
    }
    return -ENOENT;
}

static void index_slot(struct fr_peer_page *page, const struct fr_hash_key *key, unsigned slot)
{
    uint32_t at = home_of(key, &page->peers[slot].address);

    while (page->index[at])
        at = (at + 1) & (FR_PEER_INDEX - 1);
    page->index[at] = (uint16_t)(slot + 1);
}

void fr_peer_recover(struct fr_peer_page *page, const struct fr_hash_key *key)
{
    memset(page->index, 0, sizeof page->index);
    for (unsigned slot = 0; slot < page->used; slot++)
        if (page->peers[slot].is_used)
            index_slot(page, key, slot);
}

/* Rare (a table full of transceivers that came and went), so a walk over all slots will do. */
static int give_up_one(struct fr_peer_page *page, const struct fr_hash_key *key, uint64_t now_ms, uint32_t forget_ms)
{
    int oldest = -ENOSPC;

    for (unsigned slot = 0; slot < page->used; slot++) {
        const struct fr_peer *peer = &page->peers[slot];
        if (peer->flows || now_ms - peer->used_ms < forget_ms)
            continue;
        if (oldest < 0 || peer->used_ms < page->peers[oldest].used_ms)
            oldest = (int)slot;
    }
    if (oldest >= 0) {
        page->peers[oldest].is_used = 0;
        fr_peer_recover(page, key);
    }
    return oldest;
}

int fr_peer_insert(struct fr_peer_page *page, const struct fr_hash_key *key, const struct fr_address *address,
                   uint64_t now_ms, uint32_t forget_ms)
{
    int slot = fr_peer_find(page, key, address);

    if (slot < 0) {
        slot = page->used < page->capacity ? (int)page->used++ : give_up_one(page, key, now_ms, forget_ms);
        if (slot < 0)
            return slot;
        struct fr_peer *peer = &page->peers[slot];
        memset(peer, 0, sizeof *peer);
        peer->address = *address;
        peer->hello_due_ms = now_ms;
        /* last: until here a crash leaves an empty slot, from here a whole peer */
        __atomic_store_n(&peer->is_used, 1, __ATOMIC_RELEASE);
        index_slot(page, key, (unsigned)slot);
    }
    page->peers[slot].used_ms = now_ms;
    return slot;
}

static bool test_and_set(struct fr_peer *peer, uint64_t sequence)
{
    uint64_t *word = &peer->window[sequence / 64 % (FR_REPLAY_WINDOW / 64)];
    uint64_t bit = 1ULL << sequence % 64;
    bool was_set = *word & bit;

    *word |= bit;
    return was_set;
}

/* The places of the numbers above the highest and below `sequence` were those of numbers 1,024 before them. */
static void clear_skipped(struct fr_peer *peer, uint64_t sequence)
{
    uint64_t first = peer->highest + 1, last = sequence - 1;

    if (sequence - peer->highest >= FR_REPLAY_WINDOW) {
        memset(peer->window, 0, sizeof peer->window);
        return;
    }
    for (uint64_t at = first / 64; at <= last / 64; at++) {
        uint64_t places = UINT64_MAX;
        if (at == first / 64)
            places &= UINT64_MAX << first % 64;
        if (at == last / 64)
            places &= UINT64_MAX >> (63 - last % 64);
        peer->window[at % (FR_REPLAY_WINDOW / 64)] &= ~places;
    }
}

static void advance(struct fr_peer *peer, uint64_t sequence)
{
    if (!peer->highest)
        peer->first = sequence;
    if (sequence - peer->highest > 1)
        clear_skipped(peer, sequence);
    (void)test_and_set(peer, sequence); /* what its place says is of a number 1,024 below */
    peer->highest = sequence;
}

static void start_epoch(struct fr_peer *peer, uint64_t epoch_us)
{
    peer->epoch_us = epoch_us;
    peer->highest = 0;
    peer->received = 0;
    memset(peer->window, 0, sizeof peer->window);
}

bool fr_peer_accept(struct fr_peer *peer, uint64_t epoch_us, uint64_t sequence, uint64_t now_ms, uint32_t forget_ms)
{
    if (!sequence)
        return false;
    if (epoch_us != peer->epoch_us) {
        bool is_forgotten = !peer->heard_ms || now_ms - peer->heard_ms >= forget_ms;
        if (epoch_us < peer->epoch_us && !is_forgotten)
            return false;
        start_epoch(peer, epoch_us);
    }
    if (sequence > peer->highest)
        advance(peer, sequence);
    else if (peer->highest - sequence >= FR_REPLAY_WINDOW || test_and_set(peer, sequence))
        return false;
    peer->received++;
    peer->heard_ms = now_ms;
    peer->used_ms = now_ms;
    return true;
}

void fr_peer_heard_hello(struct fr_peer *peer, const struct fr_hello *hello, uint64_t now_us)
{
    peer->hello_sent_at_us = hello->sent_at_us;
    peer->hello_heard_us = now_us;
    peer->hello_flags = hello->flags;
    /* an echo from the future is of a clock before this host's last boot */
    if (hello->echo_us && hello->echo_us <= now_us && hello->echo_delay_us != UINT32_MAX
        && now_us - hello->echo_us >= hello->echo_delay_us) {
        uint64_t rtt_us = now_us - hello->echo_us - hello->echo_delay_us;
        peer->rtt_us = rtt_us < UINT32_MAX ? (uint32_t)rtt_us : UINT32_MAX;
    }
}

int fr_peer_hello(struct fr_peer *peer, const struct fr_burst_head *head, uint32_t flags, uint64_t now_us,
                  uint32_t every_ms, uint32_t forget_ms, uint8_t datagram[FR_TRUNK_HEADER + FR_HELLO_BODY])
{
    uint64_t now_ms = now_us / 1000;

    if (!peer->is_used || now_ms < peer->hello_due_ms || (!peer->flows && now_ms - peer->used_ms >= forget_ms))
        return 0;
    peer->hello_due_ms = now_ms + every_ms;
    uint64_t delay_us = peer->hello_sent_at_us ? now_us - peer->hello_heard_us : 0;
    struct fr_hello hello = {
        .sent_at_us = now_us,
        .echo_us = peer->hello_sent_at_us,
        .echo_delay_us = delay_us < UINT32_MAX ? (uint32_t)delay_us : UINT32_MAX,
        .flags = flags,
        .received = peer->received,
        .lost = fr_peer_lost(peer),
    };
    struct fr_trunk_header header = {
        .kind = head->kind,
        .key_id = head->key_id,
        .epoch_us = head->epoch_us,
        .sequence = ++peer->sequence_sent,
    };
    fr_trunk_write_hello(datagram, &header, &hello, head->mac_key);
    return FR_TRUNK_HEADER + FR_HELLO_BODY;
}
