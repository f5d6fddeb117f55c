#include "play.h"

#include "../program.h"

#include <stdlib.h>
#include <string.h>

/* from the end of sending, or the last arrival: what has not come by then is lost */
#define LINGER_NS 300000000u
/* the same when nothing is missing any more: what comes now comes again */
#define LINGER_COMPLETE_NS 10000000u
/* Arrivals carry the kernel's time and can wait, a packet that is due cannot: nobody looks for them more often than this,
 * nor when something is due within what a look at both sockets takes ... */
#define RECEIVE_EVERY_NS 10000u
#define RECEIVE_TAKES_NS 6000u
/* ... unless nobody has looked for so long */
#define RECEIVE_AT_LEAST_NS 25000u
/* Two readings of the clock with nothing in between but a look into the schedule lie this far apart only when something
 * else had the processor: an interrupt, another program, a hypervisor */
#define HELD_MIN_NS 1000u
/* a generator that needs this much longer than its schedule stops: its rate is known by then */
#define GIVE_UP_SHARE 4
#define GIVE_UP_NS 500000000u
/* time to set up before the first packet is due */
#define HEAD_START_NS 2000000u

static unsigned receive(struct fr_play *play)
{
    if (play->is_dropping)
        return 0;
    return fr_servers_receive(play->servers) + fr_clients_receive(play->clients);
}

static bool is_complete(const struct fr_play *play)
{
    const struct fr_counts *counts = &play->crowd->counts;
    return counts->way[UP].first == counts->way[UP].sent && counts->way[DOWN].first == counts->way[DOWN].sent
           && counts->answers == counts->openings;
}

static void linger(struct fr_play *play)
{
    uint64_t quiet_since = fr_now_ns();
    while (!fr_stop && !play->is_dropping
           && fr_now_ns() - quiet_since < (is_complete(play) ? LINGER_COMPLETE_NS : LINGER_NS))
        if (receive(play))
            quiet_since = fr_now_ns();
}

void fr_play_open(struct fr_play *play, uint32_t first, uint32_t count, uint64_t rate, uint64_t patience_ns)
{
    uint32_t calls[CROWD_BATCH], at = first;
    uint64_t due_ns[CROWD_BATCH], started = fr_now_ns(), turn = 0;
    fr_crowd_begin(play->crowd);
    while (at < first + count && !fr_stop) {
        uint64_t now = fr_now_ns();
        unsigned ready = 0;
        for (; at < first + count && ready < CROWD_BATCH; at++) {
            if (play->crowd->calls[at].stage >= play->clients->stages)
                continue;
            uint64_t due = started + (uint64_t)((double)turn * 1e9 / (double)rate);
            if (due > now)
                break;
            calls[ready] = at;
            due_ns[ready++] = due;
            turn++;
        }
        if (ready)
            fr_clients_open(play->clients, calls, due_ns, ready);
        receive(play);
    }
    uint64_t quiet_since = fr_now_ns(), answers = play->crowd->counts.answers;
    while (!fr_stop && answers < turn && fr_now_ns() - quiet_since < patience_ns) {
        receive(play);
        if (play->crowd->counts.answers > answers)
            quiet_since = fr_now_ns();
        answers = play->crowd->counts.answers;
    }
}

/* Leg 2 × call is the call's way up, leg 2 × call + 1 its way down. */
static void put(struct fr_play *play, const struct fr_talk *talk, uint32_t leg)
{
    uint64_t jitter = talk->jitter_ns ? fr_draw(&play->draws) % (talk->jitter_ns + 1) : 0;
    if (!fr_schedule_put(&play->schedule, leg, play->crowd->calls[leg / 2].grid_ns[leg & 1] + jitter))
        fr_fail("a packet does not fit the schedule");
}

/* Calls begin evenly over one interval, and the way down of each half an interval after its way up. */
static uint64_t begin(struct fr_play *play, const struct fr_talk *talk)
{
    uint64_t start = fr_now_ns() + HEAD_START_NS, horizon = talk->interval_ns * 2 + talk->jitter_ns;
    unsigned tick_bits = fr_schedule_tick_bits(horizon), slot_bits = 1;
    while ((horizon >> tick_bits) + 1 >= 1ull << slot_bits)
        slot_bits++;
    play->schedule.heads = malloc(sizeof *play->schedule.heads << slot_bits);
    play->schedule.next = malloc(sizeof *play->schedule.next * 2 * talk->calls);
    if (!play->schedule.heads || !play->schedule.next)
        fr_fail("schedule");
    start += (uint64_t)talk->calls * 100;
    fr_schedule_open(&play->schedule, start, talk->interval_ns - talk->jitter_ns, tick_bits, slot_bits);
    for (uint32_t leg = 0; leg < talk->calls * 2; leg++) {
        if (!talk->has_way[leg & 1])
            continue;
        uint64_t *grid = &play->crowd->calls[leg / 2].grid_ns[leg & 1];
        *grid = start + (uint64_t)((double)talk->interval_ns * (leg / 2) / talk->calls);
        *grid += (leg & 1) * talk->interval_ns / 2;
        put(play, talk, leg);
    }
    return start;
}

/* Sends what was taken; each leg that has not reached the end is put again. Returns how many have. */
static uint32_t send_due(struct fr_play *play, const struct fr_talk *talk, const uint32_t *legs, const uint64_t *due_ns,
                     unsigned count, uint64_t end_ns)
{
    uint32_t calls[2][CROWD_BATCH], ended = 0;
    uint64_t due[2][CROWD_BATCH];
    unsigned counts[2] = {0, 0};
    /* with many calls each lies in memory that nobody has touched for an interval */
    for (unsigned i = 0; i < count; i++)
        __builtin_prefetch(&play->crowd->calls[legs[i] / 2], 1);
    for (unsigned i = 0; i < count; i++) {
        unsigned way = legs[i] & 1;
        calls[way][counts[way]] = legs[i] / 2;
        due[way][counts[way]++] = due_ns[i];
    }
    if (counts[UP])
        fr_clients_send(play->clients, calls[UP], due[UP], counts[UP]);
    if (counts[DOWN])
        fr_servers_send(play->servers, calls[DOWN], due[DOWN], counts[DOWN]);
    for (unsigned i = 0; i < count; i++) {
        uint64_t *grid = &play->crowd->calls[legs[i] / 2].grid_ns[legs[i] & 1];
        *grid += talk->interval_ns;
        if (*grid < end_ns)
            put(play, talk, legs[i]);
        else
            ended++;
    }
    return ended;
}

/* Changes come evenly as well, the calls in turn. */
struct changes {
    enum fr_change change;
    uint32_t per_s, next_call;
    uint64_t done;
};

static void change(struct fr_play *play, const struct fr_talk *talk, struct changes *changes, uint64_t passed_ns)
{
    while (changes->done < (uint64_t)((double)passed_ns * changes->per_s / 1e9)) {
        play->crowd->calls[changes->next_call].change = changes->change;
        changes->next_call = (changes->next_call + 1) % talk->calls;
        changes->done++;
    }
}

/* The checks of all calls lie evenly over the period. */
static void check(struct fr_play *play, const struct fr_talk *talk, uint64_t start_ns, uint64_t now_ns, uint64_t *done)
{
    uint32_t calls[CROWD_BATCH];
    uint64_t due_ns[CROWD_BATCH];
    unsigned count = 0;
    for (; count < CROWD_BATCH; count++, ++*done) {
        due_ns[count] = start_ns + (uint64_t)((double)talk->check_every_ns * (double)*done / talk->calls);
        if (due_ns[count] > now_ns)
            break;
        calls[count] = (uint32_t)(*done % talk->calls);
    }
    if (count)
        fr_clients_open(play->clients, calls, due_ns, count);
}

/* What a generator that gave up would still have had to send. */
static void count_unsent(struct fr_play *play, const struct fr_talk *talk, uint64_t end_ns)
{
    for (uint32_t leg = 0; leg < talk->calls * 2; leg++) {
        uint64_t grid = play->crowd->calls[leg / 2].grid_ns[leg & 1];
        if (talk->has_way[leg & 1] && grid < end_ns)
            play->crowd->counts.way[leg & 1].due += (end_ns - grid + talk->interval_ns - 1) / talk->interval_ns;
    }
}

/* The time, when nothing was done since `since_ns`. */
static uint64_t look_at_clock(struct fr_crowd *crowd, uint64_t since_ns)
{
    uint64_t now = fr_now_ns();
    if (now - since_ns > HELD_MIN_NS) {
        crowd->held_from_ns = since_ns;
        crowd->held_until_ns = now;
        crowd->counts.held_ns += now - since_ns;
    }
    return now;
}

static bool has_time_to_receive(const struct fr_play *play, uint64_t now_ns, uint64_t not_for_ns)
{
    return not_for_ns > RECEIVE_AT_LEAST_NS
           || (not_for_ns > RECEIVE_EVERY_NS && !fr_schedule_has_until(&play->schedule, now_ns + RECEIVE_TAKES_NS));
}

uint64_t fr_play_talk(struct fr_play *play, const struct fr_talk *talk)
{
    uint32_t legs[CROWD_BATCH];
    uint64_t due_ns[CROWD_BATCH];
    fr_crowd_begin(play->crowd);
    uint64_t start = begin(play, talk), end = start + talk->duration_ns;
    uint64_t give_up = end + talk->interval_ns + talk->duration_ns / GIVE_UP_SHARE + GIVE_UP_NS;
    uint32_t live = talk->calls * (uint32_t)(talk->has_way[UP] + talk->has_way[DOWN]);
    struct changes calls = {CHANGE_CALL, talk->calls_changed_per_s, 0, 0};
    struct changes addresses = {CHANGE_ADDRESS, talk->addresses_changed_per_s, talk->calls / 2, 0};
    uint64_t now = fr_now_ns(), received = now, checked = 0;
    bool has_more = talk->calls_changed_per_s || talk->addresses_changed_per_s || talk->check_every_ns;
    while (live && !fr_stop && now < give_up) {
        now = look_at_clock(play->crowd, now);
        unsigned count = fr_schedule_take(&play->schedule, now, legs, due_ns, CROWD_BATCH);
        if (count) {
            live -= send_due(play, talk, legs, due_ns, count, end);
            now = fr_now_ns();
        }
        if (has_time_to_receive(play, now, now - received)) {
            receive(play);
            now = received = fr_now_ns();
        }
        /* any other reading of the clock but those after work would hide from look_at_clock what happens before it */
        if (has_more && now > start) {
            change(play, talk, &calls, now - start);
            change(play, talk, &addresses, now - start);
            if (talk->check_every_ns)
                check(play, talk, start, now, &checked);
            now = fr_now_ns();
        }
    }
    now = fr_now_ns();
    count_unsent(play, talk, end);
    free(play->schedule.heads);
    free(play->schedule.next);
    linger(play);
    fr_crowd_end(play->crowd, end);
    return now - start;
}

uint64_t fr_play_bare(struct fr_play *play, uint64_t count)
{
    struct fr_outbox *outbox = &play->clients->outbox;
    const struct fr_crowd *crowd = play->crowd;
    uint64_t started = fr_now_ns(), sent = 0;
    for (unsigned i = 0; i < CROWD_BATCH; i++) {
        outbox->vectors[i].iov_base = outbox->packets[i];
        outbox->targets[i] = play->clients->targets[0];
        outbox->messages[i].msg_hdr.msg_control = NULL;
        outbox->messages[i].msg_hdr.msg_controllen = 0;
    }
    while (sent < count && !fr_stop) {
        for (unsigned i = 0; i < CROWD_BATCH; i++)
            outbox->vectors[i].iov_len = crowd->sizes[(sent + i) % MIX_SIZES];
        sent += fr_outbox_send(outbox, play->clients->fd, CROWD_BATCH);
    }
    uint64_t took = fr_now_ns() - started;
    for (unsigned i = 0; i < CROWD_BATCH; i++) {
        outbox->messages[i].msg_hdr.msg_control = outbox->controls[i];
        outbox->messages[i].msg_hdr.msg_controllen = sizeof outbox->controls[i];
    }
    return took;
}
