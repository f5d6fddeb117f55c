#include "crowd.h"

#include <string.h>

/* RFC 3551: dynamic payload type, as browsers number Opus */
#define OPUS_TYPE 111
#define OPUS_SAMPLES 960

void fr_crowd_begin(struct fr_crowd *crowd)
{
    crowd->run++;
    crowd->held_from_ns = crowd->held_until_ns = 0;
    crowd->next_size = 0;
    memset(&crowd->counts, 0, sizeof crowd->counts);
    memset(crowd->page, 0, sizeof *crowd->page);
    for (uint32_t i = 0; i < crowd->call_count; i++) {
        struct fr_call *call = &crowd->calls[i];
        memset(call->mask, 0, sizeof call->mask);
        memset(call->next, 0, sizeof call->next);
        memset(call->sent, 0, sizeof call->sent);
        call->change = CHANGE_NONE;
        if (crowd->hearing)
            crowd->hearing->calls[i] = (struct fr_heard){{0}, {0}, {0}, {0}};
    }
}

void fr_crowd_end(struct fr_crowd *crowd, uint64_t ended_ns)
{
    if (!crowd->hearing)
        return;
    crowd->hearing->ended_ns = ended_ns;
    for (uint32_t i = 0; i < crowd->call_count; i++) {
        for (unsigned way = UP; way <= DOWN; way++) {
            fr_heard_silence(&crowd->hearing->calls[i], way, ended_ns);
            crowd->hearing->calls[i].sent[way] = crowd->calls[i].sent[way];
        }
    }
}

bool fr_crowd_move(struct fr_crowd *crowd, uint32_t index)
{
    struct fr_call *call = &crowd->calls[index];
    uint32_t flow = crowd->next_flow;
    if (crowd->owner[flow] != CROWD_NOBODY)
        return false;
    crowd->next_flow = flow + 1 < crowd->flow_count ? flow + 1 : 0;
    crowd->owner[call->flow] = CROWD_NOBODY;
    crowd->owner[flow] = index;
    call->flow = flow;
    return true;
}

static uint16_t held(const struct fr_crowd *crowd, uint64_t due_ns)
{
    if (due_ns >= crowd->held_until_ns)
        return 0;
    uint64_t from = due_ns > crowd->held_from_ns ? due_ns : crowd->held_from_ns;
    uint64_t units = (crowd->held_until_ns - from) / HELD_NS;
    return (uint16_t)(units < UINT16_MAX ? units : UINT16_MAX);
}

uint32_t fr_crowd_packet(struct fr_crowd *crowd, uint32_t index, enum fr_direction way, uint64_t due_ns, uint8_t *out)
{
    struct fr_call *call = &crowd->calls[index];
    uint32_t number = call->sent[way]++;
    struct fr_mark mark = {MARK_MAGIC, crowd->run, held(crowd, due_ns), index, number, due_ns};
    uint16_t sequence_be = htons((uint16_t)number);
    uint32_t timestamp_be = htonl(number * OPUS_SAMPLES), ssrc_be = htonl(index * 2 + 1 + way);
    out[0] = 0x80;
    out[1] = OPUS_TYPE;
    memcpy(out + 2, &sequence_be, 2);
    memcpy(out + 4, &timestamp_be, 4);
    memcpy(out + 8, &ssrc_be, 4);
    memcpy(out + RTP_HEADER, &mark, sizeof mark);
    return crowd->sizes[crowd->next_size++ % MIX_SIZES];
}

void fr_crowd_late(struct fr_crowd *crowd, enum fr_direction way, uint64_t now_ns, uint64_t due_ns)
{
    uint64_t late_ns = now_ns - due_ns;
    if (late_ns > crowd->counts.way[way].latest_ns)
        crowd->counts.way[way].latest_ns = late_ns;
    fr_histogram_add(&crowd->page->histogram[LATE_UP + way], late_ns);
}

uint32_t fr_crowd_arrive(struct fr_crowd *crowd, enum fr_direction way, const uint8_t *packet, uint32_t length,
                         uint64_t at_ns, uint32_t end_be)
{
    struct fr_way *counts = &crowd->counts.way[way];
    struct fr_mark mark;
    if (length >= MARKED_MIN)
        memcpy(&mark, packet + RTP_HEADER, sizeof mark);
    if (length < MARKED_MIN || mark.magic != MARK_MAGIC || mark.run != crowd->run || mark.call >= crowd->call_count) {
        counts->foreign++;
        return CROWD_NOBODY;
    }
    struct fr_call *call = &crowd->calls[mark.call];
    bool is_elsewhere = end_be && end_be != fr_crowd_client_be(crowd, call);
    counts->misdelivered += is_elsewhere;
    struct fr_window window = {call->mask[way], call->next[way]};
    enum fr_arrival arrival = fr_window_add(&window, mark.number);
    call->mask[way] = window.mask;
    call->next[way] = window.next;
    counts->again += arrival == ARRIVAL_AGAIN;
    counts->stray += arrival == ARRIVAL_STRAY;
    counts->overtaken += arrival == ARRIVAL_OVERTAKEN;
    if (arrival != ARRIVAL_FIRST && arrival != ARRIVAL_OVERTAKEN)
        return mark.call;
    counts->first++;
    if (crowd->hearing && !is_elsewhere)
        fr_heard_packet(&crowd->hearing->calls[mark.call], way, at_ns);
    crowd->counts.backwards += at_ns < mark.due_ns;
    uint64_t latency_ns = at_ns > mark.due_ns ? at_ns - mark.due_ns : 0, held_ns = (uint64_t)mark.held * HELD_NS;
    fr_histogram_add(&crowd->page->histogram[LATENCY_UP + way], latency_ns);
    fr_histogram_add(&crowd->page->histogram[LESS_HELD], latency_ns > held_ns ? latency_ns - held_ns : 0);
    return mark.call;
}
