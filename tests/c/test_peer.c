/* Peers of the trunk: replay window and loss against a naive model, epochs, a full table, HELLO timing. */
#include "trunk/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "check.h"

enum { FORGET_MS = 60000, EVERY_MS = 1000, NOW_MS = 1000000 };

static const struct fr_hash_key hash_key = {{0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u, 0x94d049bb133111ebu, 77}};
static struct fr_peer_page page;
static uint64_t random_state = 88172645463325252u;

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

static struct fr_address peer_address(unsigned number)
{
    return fr_address_v4(htonl(0x0a000000u + number), htons(4000));
}

static bool accept_now(struct fr_peer *peer, uint64_t sequence)
{
    return fr_peer_accept(peer, 100, sequence, NOW_MS, FORGET_MS);
}

/* --- replay window --------------------------------------------------------- */

static void a_number_is_taken_once_and_zero_never(void)
{
    const uint64_t firsts[] = {1, 2, FR_REPLAY_WINDOW, FR_REPLAY_WINDOW + 1, UINT64_MAX - 1, UINT64_MAX};
    for (unsigned row = 0; row < sizeof firsts / sizeof *firsts; row++) {
        struct fr_peer peer = {0};
        CHECK(!accept_now(&peer, 0));
        CHECK(peer.heard_ms == 0 && peer.epoch_us == 0);
        CHECK(accept_now(&peer, firsts[row]));
        CHECK(!accept_now(&peer, firsts[row]));
        CHECK(peer.received == 1 && peer.highest == firsts[row] && peer.heard_ms == NOW_MS);
    }
}

static void the_window_ends_1024_below_the_highest(void)
{
    const uint64_t highest[] = {FR_REPLAY_WINDOW + 2, 5000, UINT64_MAX};
    const struct { uint64_t below; bool is_taken; } rows[] = {
        {FR_REPLAY_WINDOW + 1, false}, {FR_REPLAY_WINDOW, false}, {FR_REPLAY_WINDOW - 1, true}, {1, true},
    };
    for (unsigned at = 0; at < 3; at++)
        for (unsigned row = 0; row < 4; row++) {
            struct fr_peer peer = {0};
            CHECK(accept_now(&peer, highest[at]));
            CHECK(accept_now(&peer, highest[at] - rows[row].below) == rows[row].is_taken);
            CHECK(!accept_now(&peer, highest[at] - rows[row].below));
            CHECK(peer.highest == highest[at]);
        }
}

/* A key holder may send any number; the greatest must not keep the loop busy. */
static void the_greatest_number_ends_the_count(void)
{
    struct fr_peer peer = {0};
    CHECK(accept_now(&peer, UINT64_MAX - 3));
    CHECK(accept_now(&peer, UINT64_MAX));
    CHECK(accept_now(&peer, UINT64_MAX - 1));
    CHECK(!accept_now(&peer, UINT64_MAX));
    CHECK(peer.received == 3);
}

static void loss_is_counted_from_the_first_number_accepted(void)
{
    const struct { const char *name; uint64_t arrivals[4], first, lost; } rows[] = {
        {"nothing", {0}, 0, 0},
        {"the first number", {1}, 1, 0},
        {"a first number far beyond the window", {1000000}, 1000000, 0},
        {"the greatest number alone", {UINT64_MAX}, UINT64_MAX, 0},
        {"in order", {7, 8, 9}, 7, 0},
        {"a gap", {7, 9}, 7, 1},
        {"a gap that is filled late", {7, 9, 8}, 7, 0},
        {"a late number below the first", {7, 6}, 7, 0},
        {"a late number below the first hides a gap", {7, 9, 6}, 7, 0},
        {"to the window's edge", {1, FR_REPLAY_WINDOW}, 1, FR_REPLAY_WINDOW - 2},
        {"over the window", {1, 1000000}, 1, 1000000 - 2},
        {"over all numbers", {1, UINT64_MAX}, 1, UINT64_MAX - 2},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct fr_peer peer = {0};
        for (unsigned at = 0; at < 4 && rows[row].arrivals[at]; at++)
            CHECK(accept_now(&peer, rows[row].arrivals[at]));
        bool is_right = peer.first == rows[row].first && fr_peer_lost(&peer) == rows[row].lost;
        if (!is_right)
            printf("%s: first %" PRIu64 ", lost %" PRIu64 "\n", rows[row].name, peer.first, fr_peer_lost(&peer));
        CHECK(is_right);
    }
}

enum { MODEL_NUMBERS = 40000 };

/* Every number's fate, kept one by one. */
struct model {
    bool seen[MODEL_NUMBERS];
    uint64_t first, highest, received;
};

static bool model_accept(struct model *model, uint64_t sequence)
{
    if (model->highest >= FR_REPLAY_WINDOW && sequence <= model->highest - FR_REPLAY_WINDOW)
        return false;
    if (model->seen[sequence])
        return false;
    model->seen[sequence] = true;
    model->received++;
    if (model->received == 1)
        model->first = sequence;
    if (sequence > model->highest)
        model->highest = sequence;
    return true;
}

/* What is missing above the first, less what came although it was below. */
static uint64_t model_lost(const struct model *model)
{
    uint64_t missing = 0, below = 0;
    for (uint64_t number = 1; number <= model->highest; number++) {
        missing += number >= model->first && !model->seen[number];
        below += number < model->first && model->seen[number];
    }
    return missing > below ? missing - below : 0;
}

static uint64_t next_number(uint64_t highest)
{
    switch (random_below(16)) {
    case 0: return highest + 1 + random_below(2100);                           /* a jump, over the window or not */
    case 1: return highest + FR_REPLAY_WINDOW - 1 + random_below(3);           /* a jump to the window's very edge */
    case 2: case 3: case 4: {                                                  /* late, also too late */
        uint64_t back = random_below(FR_REPLAY_WINDOW + 70);
        return highest > back ? highest - back : 1;
    }
    default: return highest + 1 + random_below(3);
    }
}

static void loss_and_replay_agree_with_a_naive_model(void)
{
    static struct model model;
    for (unsigned run = 0; run < 60; run++) {
        struct fr_peer peer = {0};
        memset(&model, 0, sizeof model);
        /* half of the runs join an epoch that has been running */
        uint64_t sequence = run % 2 ? 1 + random_below(MODEL_NUMBERS / 2) : 1;
        for (;; sequence = next_number(model.highest)) {
            if (sequence >= MODEL_NUMBERS)
                break;
            CHECK(accept_now(&peer, sequence) == model_accept(&model, sequence));
            if (!random_below(64))
                CHECK(fr_peer_lost(&peer) == model_lost(&model));
        }
        CHECK(fr_peer_lost(&peer) == model_lost(&model));
        CHECK(peer.received == model.received && peer.highest == model.highest);
    }
}

/* --- epochs ---------------------------------------------------------------- */

static void a_later_epoch_starts_anew_and_an_earlier_is_replayed(void)
{
    struct fr_peer peer = {0};
    CHECK(fr_peer_accept(&peer, 100, 2000, NOW_MS, FORGET_MS));
    CHECK(fr_peer_accept(&peer, 100, 2010, NOW_MS, FORGET_MS));
    CHECK(fr_peer_lost(&peer) == 9);
    CHECK(!fr_peer_accept(&peer, 99, 2011, NOW_MS, FORGET_MS));
    CHECK(!fr_peer_accept(&peer, 101, 0, NOW_MS, FORGET_MS));
    CHECK(peer.epoch_us == 100);
    CHECK(fr_peer_accept(&peer, 101, 3, NOW_MS, FORGET_MS));
    CHECK(peer.epoch_us == 101 && peer.highest == 3 && peer.received == 1);
    CHECK(peer.first == 3 && fr_peer_lost(&peer) == 0);
    CHECK(!fr_peer_accept(&peer, 100, 2011, NOW_MS, FORGET_MS));
    CHECK(fr_peer_accept(&peer, 101, 2, NOW_MS, FORGET_MS));
}

static void an_earlier_epoch_is_taken_once_the_sender_is_forgotten(void)
{
    struct fr_peer peer = {0};
    CHECK(fr_peer_accept(&peer, 100, 5, NOW_MS, FORGET_MS));
    CHECK(!fr_peer_accept(&peer, 50, 1, NOW_MS + FORGET_MS - 1, FORGET_MS));
    CHECK(fr_peer_accept(&peer, 50, 1, NOW_MS + FORGET_MS, FORGET_MS));
    CHECK(peer.epoch_us == 50 && peer.received == 1);
    /* silence does not open the window of the epoch that is known */
    CHECK(!fr_peer_accept(&peer, 50, 1, NOW_MS + 9 * FORGET_MS, FORGET_MS));
}

/* --- the table ------------------------------------------------------------- */

static int insert_peer(unsigned number, uint64_t now_ms)
{
    struct fr_address address = peer_address(number);
    return fr_peer_insert(&page, &hash_key, &address, now_ms, FORGET_MS);
}

static int find_peer(unsigned number)
{
    struct fr_address address = peer_address(number);
    return fr_peer_find(&page, &hash_key, &address);
}

static void fill_page(uint32_t capacity)
{
    memset(&page, 0, sizeof page);
    page.capacity = capacity;
    for (unsigned number = 0; number < capacity; number++)
        CHECK(insert_peer(number, NOW_MS + number) == (int)number);
}

static void peers_keep_their_slots(void)
{
    fill_page(FR_PEERS);
    for (unsigned number = 0; number < FR_PEERS; number++) {
        CHECK(find_peer(number) == (int)number);
        CHECK(insert_peer(number, NOW_MS) == (int)number);
    }
    CHECK(find_peer(FR_PEERS) == -ENOENT);
    fr_peer_recover(&page, &hash_key);
    for (unsigned number = 0; number < FR_PEERS; number++)
        CHECK(find_peer(number) == (int)number);
}

static void a_full_table_refuses_until_someone_is_forgotten(void)
{
    fill_page(8);
    page.peers[0].flows = 1; /* the oldest is in use */
    CHECK(insert_peer(100, NOW_MS + FORGET_MS) == -ENOSPC);
    CHECK(insert_peer(100, NOW_MS + 1 + FORGET_MS - 1) == -ENOSPC);
    CHECK(insert_peer(100, NOW_MS + 1 + FORGET_MS) == 1);
    CHECK(find_peer(1) == -ENOENT && find_peer(100) == 1 && find_peer(0) == 0);
    CHECK(page.peers[1].received == 0 && page.peers[1].flows == 0);
}

static void the_longest_unused_gives_way(void)
{
    fill_page(8);
    for (unsigned number = 0; number < 8; number++)
        insert_peer(number, NOW_MS + 1000 - 10 * (number ^ 5)); /* number 2 has been unused longest */
    CHECK(insert_peer(100, NOW_MS + 2 * FORGET_MS) == 2);
    for (unsigned number = 0; number < 8; number++)
        CHECK(find_peer(number) == (number == 2 ? -ENOENT : (int)number));
}

static void a_peer_that_is_heard_counts_as_used(void)
{
    fill_page(2);
    CHECK(fr_peer_accept(&page.peers[0], 1, 1, NOW_MS + FORGET_MS, FORGET_MS));
    CHECK(insert_peer(100, NOW_MS + FORGET_MS + 2) == 1);
    CHECK(insert_peer(101, NOW_MS + FORGET_MS + 2) == -ENOSPC);
}

/* A crash may leave a slot counted and not yet filled. */
static void a_half_made_peer_is_made_over(void)
{
    fill_page(4);
    page.peers[3].is_used = 0;
    fr_peer_recover(&page, &hash_key);
    CHECK(find_peer(3) == -ENOENT);
    for (unsigned number = 0; number < 3; number++)
        CHECK(find_peer(number) == (int)number);
}

/* --- HELLO ----------------------------------------------------------------- */

static struct fr_cmac_key mac_key;
static uint8_t datagram[FR_TRUNK_HEADER + FR_HELLO_BODY];

static int hello_at(struct fr_peer *peer, uint64_t now_us)
{
    struct fr_burst_head head = {.mac_key = &mac_key, .epoch_us = 9, .key_id = 3, .kind = FR_HELLO_UP};
    return fr_peer_hello(peer, &head, 0, now_us, EVERY_MS, FORGET_MS, datagram);
}

static struct fr_hello written(uint64_t *sequence)
{
    struct fr_trunk_header header;
    struct fr_hello hello = {0};
    CHECK(fr_trunk_read_header(datagram, sizeof datagram, &header) == 0);
    CHECK(fr_trunk_check_mac(datagram, sizeof datagram, &header, &mac_key) == 0);
    CHECK(fr_trunk_read_hello(datagram, &header, &hello) == 0);
    CHECK(header.kind == FR_HELLO_UP && header.key_id == 3 && header.epoch_us == 9 && header.via == 0);
    *sequence = header.sequence;
    return hello;
}

static void a_hello_is_due_every_second_until_the_peer_is_forgotten(void)
{
    const uint64_t start_us = NOW_MS * 1000ull;
    uint64_t sequence;
    fill_page(1);
    struct fr_peer *peer = &page.peers[0];
    CHECK(hello_at(peer, start_us) == sizeof datagram);
    CHECK(written(&sequence).echo_us == 0 && sequence == 1);
    CHECK(hello_at(peer, start_us + 999999) == 0);
    CHECK(hello_at(peer, start_us + 1000000) == sizeof datagram);
    written(&sequence);
    CHECK(sequence == 2);
    CHECK(hello_at(peer, start_us + FORGET_MS * 1000ull - 1000) == sizeof datagram);
    CHECK(hello_at(peer, start_us + FORGET_MS * 1000ull + 1000000) == 0);
    peer->flows = 1; /* who has flows is spoken to, heard or not */
    CHECK(hello_at(peer, start_us + FORGET_MS * 1000ull + 1000000) == sizeof datagram);
    peer->is_used = 0;
    CHECK(hello_at(peer, start_us + FORGET_MS * 1000ull + 9000000) == 0);
}

static void a_hello_reports_what_was_heard(void)
{
    struct fr_peer peer = {.is_used = 1, .flows = 1};
    struct fr_hello heard = {.sent_at_us = 777, .flags = FR_HELLO_DRAINING}, sent;
    uint64_t sequence;
    CHECK(accept_now(&peer, 5000) && accept_now(&peer, 5005));
    fr_peer_heard_hello(&peer, &heard, 5000);
    CHECK(peer.hello_flags == FR_HELLO_DRAINING && peer.rtt_us == 0);
    CHECK(hello_at(&peer, 5250) == sizeof datagram);
    sent = written(&sequence);
    CHECK(sent.sent_at_us == 5250 && sent.echo_us == 777 && sent.echo_delay_us == 250);
    CHECK(sent.received == 2 && sent.lost == 4);
    CHECK(hello_at(&peer, 5000 + (uint64_t)UINT32_MAX + 1) == sizeof datagram);
    CHECK(written(&sequence).echo_delay_us == UINT32_MAX);
}

static void the_round_trip_is_what_is_left_of_the_echo(void)
{
    const struct { uint64_t echo_us; uint32_t delay_us; uint64_t now_us; uint32_t rtt_us; } rows[] = {
        {1000, 300, 1500, 200},
        {1000, 500, 1500, 0},
        {1000, 501, 1500, 9},                         /* a delay longer than the echo is old */
        {0, 0, 1500, 9},                              /* no echo yet */
        {1000, UINT32_MAX, 1500, 9},                  /* longer than the field holds */
        {1501, 0, 1500, 9},                           /* an echo of what was not yet sent */
        {UINT64_MAX, 0, 1500, 9},
        {1, 0, (uint64_t)UINT32_MAX + 5, UINT32_MAX}, /* longer than the result holds */
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct fr_peer peer = {.rtt_us = 9};
        struct fr_hello hello = {.sent_at_us = 1, .echo_us = rows[row].echo_us, .echo_delay_us = rows[row].delay_us};
        fr_peer_heard_hello(&peer, &hello, rows[row].now_us);
        CHECK(peer.rtt_us == rows[row].rtt_us);
        CHECK(peer.hello_heard_us == rows[row].now_us);
    }
}

int main(void)
{
    fr_cmac_open(&mac_key, (const uint8_t *)"hello mac key..", FR_CMAC_FASTEST);
    a_number_is_taken_once_and_zero_never();
    the_window_ends_1024_below_the_highest();
    the_greatest_number_ends_the_count();
    loss_is_counted_from_the_first_number_accepted();
    loss_and_replay_agree_with_a_naive_model();
    a_later_epoch_starts_anew_and_an_earlier_is_replayed();
    an_earlier_epoch_is_taken_once_the_sender_is_forgotten();
    peers_keep_their_slots();
    a_full_table_refuses_until_someone_is_forgotten();
    the_longest_unused_gives_way();
    a_peer_that_is_heard_counts_as_used();
    a_half_made_peer_is_made_over();
    a_hello_is_due_every_second_until_the_peer_is_forgotten();
    a_hello_reports_what_was_heard();
    the_round_trip_is_what_is_left_of_the_echo();
    return check_result();
}
