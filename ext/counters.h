/* The counter page of one worker: what happened, in shared memory, readable by anyone at any time.
 *
 * Lives here: its layout, the events beside the verdicts, and the histograms' buckets.
 * Only the worker writes; readers see each number whole (aligned 64-bit words) but not all at one instant.
 */
#ifndef FR_COUNTERS_H
#define FR_COUNTERS_H

#include <stdint.h>

#include "clock.h"
#include "flow/journal.h"
#include "verdict.h"

#define FR_COUNTERS_MAGIC 0x6672636f756e7472u /* "frcountr" */
#define FR_COUNTERS_LAYOUT 2

/* name, text shown to operators */
#define FR_EVENTS(E) \
    E(flows_created, "flows made by a first check") \
    E(flows_confirmed, "flows confirmed by a first frame back") \
    E(flows_repointed, "flows moved by a check with another valid token") \
    E(flows_recreated, "lost flows made again from the trunk") \
    E(flows_adopted, "flows taken over from a sibling's table") \
    E(flows_closed, "flows ended by CLOSE") \
    E(flows_expired_unconfirmed, "flows no transceiver answered in time") \
    E(flows_expired_idle, "flows whose client fell silent") \
    E(flows_evicted, "unconfirmed flows that gave way at capacity") \
    E(turns, "turns of the loop") \
    E(receives_up, "receive calls that brought client datagrams") \
    E(receives_down, "receive calls that brought trunk datagrams") \
    E(bundles_sent, "trunk datagrams sent up") \
    E(sends_up, "send calls to transceivers") \
    E(sends_down, "send calls to clients") \
    E(sends_resumed, "send calls the kernel took only in part, resumed") \
    E(refused_up, "trunk datagrams the kernel refused to send") \
    E(refused_down, "client datagrams the kernel refused to send") \
    E(no_buffer_up, "trunk datagrams given up because the send buffer stayed full") \
    E(no_buffer_down, "client datagrams given up because the send buffer stayed full") \
    E(kernel_drops_up, "datagrams the kernel dropped because a client socket's buffer was full") \
    E(kernel_drops_down, "datagrams the kernel dropped because the trunk socket's buffer was full") \
    E(trunk_errors, "ICMP errors reported for the trunk") \
    E(receive_errors, "receive calls that failed") \
    E(trunk_cut, "trunk receives larger than the buffer, dropped whole") \
    E(hellos_sent, "HELLOs sent") \
    E(offload_failures, "1 once UDP_SEGMENT has failed and was switched off") \
    E(locals_full, "datagrams that reached a local address there was no room to learn") \
    E(sibling_lookups_refused, "looks into siblings' tables that the budget refused")

enum fr_event {
#define FR_EVENT_ENUM(name, text) FR_EVENT_##name,
    FR_EVENTS(FR_EVENT_ENUM)
#undef FR_EVENT_ENUM
    FR_EVENT_COUNT
};

#define FR_COUNTER_ROOM 64 /* places kept for verdicts and for events, so that adding one moves nothing */

/* Eight buckets an octave, from 1 to 2^40 of its unit: an error of at most 1/8. */
#define FR_HISTOGRAM_BUCKETS 320

struct fr_counters {
    uint64_t magic;
    uint64_t layout;
    uint64_t alive_ms; /* monotonic clock of the last turn: the worker's heartbeat */
    uint64_t flows;
    uint64_t unconfirmed;
    uint64_t offload; /* 1 while UDP_SEGMENT is in use */
    uint64_t reserved[2];
    uint64_t verdict_packets[FR_COUNTER_ROOM];
    uint64_t verdict_bytes[FR_COUNTER_ROOM];
    uint64_t events[FR_COUNTER_ROOM];
    uint64_t hop_up_ns[FR_HISTOGRAM_BUCKETS];   /* kernel receive to handed to the kernel again, sampled */
    uint64_t hop_down_ns[FR_HISTOGRAM_BUCKETS];
    /* calls, each counted once: see flow/quality.h */
    uint64_t call_loss[FR_HISTOGRAM_BUCKETS];     /* 1/10,000 of what a client sent, at the call's end */
    uint64_t call_jitter_us[FR_HISTOGRAM_BUCKETS];
    uint64_t call_setup_us[FR_HISTOGRAM_BUCKETS]; /* first check to first media */
    uint64_t call_media_us[FR_HISTOGRAM_BUCKETS]; /* first DTLS to first media */
    struct fr_journal journal;
};

_Static_assert(FR_VERDICT_COUNT <= FR_COUNTER_ROOM && FR_EVENT_COUNT <= FR_COUNTER_ROOM, "page layout has room");

/* Bucket 8 * (octave - 3) + the three bits below the leading one; values under 8 have a bucket each. */
static inline unsigned fr_histogram_bucket(uint64_t value)
{
    if (value < 8)
        return (unsigned)value;
    unsigned octave = 63 - (unsigned)__builtin_clzll(value);
    unsigned bucket = 8 * (octave - 2) + (unsigned)(value >> (octave - 3) & 7);
    return bucket < FR_HISTOGRAM_BUCKETS ? bucket : FR_HISTOGRAM_BUCKETS - 1;
}

/* How long ago the kernel received the datagram; 0 = it did not say. A clock set back meanwhile counts nothing. */
static inline void fr_count_hop(uint64_t histogram[FR_HISTOGRAM_BUCKETS], uint64_t received_ns)
{
    uint64_t now_ns = received_ns ? fr_realtime_ns() : 0;
    if (now_ns > received_ns)
        histogram[fr_histogram_bucket(now_ns - received_ns)]++;
}

static inline void fr_count_verdict(struct fr_counters *counters, enum fr_verdict verdict, uint64_t bytes)
{
    counters->verdict_packets[verdict]++;
    counters->verdict_bytes[verdict] += bytes;
}

#endif
