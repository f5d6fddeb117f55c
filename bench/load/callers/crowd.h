/* All the calls of one generator, both ends of each: what every file of the program shares.
 *
 * Lives here: the state of a call, the packets' stamp, counts and histograms.
 * Must not live here: sockets (wire.h), how either end behaves (clients.c, servers.c).
 */
#ifndef FR_BENCH_CROWD_H
#define FR_BENCH_CROWD_H

#include "hearing.h"
#include "histogram.h"
#include "mix.h"
#include "window.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* packets in one send step */
#define CROWD_BATCH 64
/* one transceiver is one address */
#define CROWD_TRANSCEIVERS 256

enum fr_direction { UP, DOWN };

/* What a call's next turn sends instead of media. */
enum fr_change { CHANGE_NONE, CHANGE_CALL, CHANGE_ADDRESS };

/* One call; one cache line. */
struct fr_call {
    uint64_t grid_ns[2]; /* when the next packet would be due without jitter */
    uint64_t mask[2];    /* fr_window of what has come */
    uint32_t next[2];
    uint32_t sent[2];
    uint32_t flow;       /* the client's address is the first one and this */
    uint32_t record;     /* which opening it uses */
    uint32_t reply_be;   /* where the transceiver sends to: the client (trunk), or what a relay shows it */
    uint16_t reply_port_be;
    uint8_t transceiver;
    uint8_t change : 2;
    uint8_t stage : 5;   /* openings that have been answered */
    uint8_t is_heard : 1;
};
_Static_assert(sizeof(struct fr_call) == 64, "one cache line a call");

/* Behind the RTP header, in the order of this machine: both ends are one process. */
struct fr_mark {
    uint32_t magic;
    uint16_t run;
    uint16_t held; /* in HELD_NS, rounded down: for how long the machine held the sender up after this was due */
    uint32_t call;
    uint32_t number;
    uint64_t due_ns;
};
#define MARK_MAGIC 0x6d61726bu
#define HELD_NS 64
#define RTP_HEADER 12
#define MARKED_MIN (RTP_HEADER + (unsigned)sizeof(struct fr_mark))
#define PACKET_MAX 1200
/* room before a packet for a channel number (RFC 8656 §12.4) */
#define PREFIX_MAX 4

struct fr_way {
    uint64_t due;         /* packets the schedule asked for */
    uint64_t sent;        /* handed to the kernel */
    uint64_t unready;     /* due, but nobody has told where to */
    uint64_t first;       /* arrived for the first time */
    uint64_t overtaken;   /* of these: behind a later one */
    uint64_t again;
    uint64_t stray;
    uint64_t foreign;     /* of another run, or no packet of ours */
    uint64_t misdelivered; /* arrived at an address that is not the call's */
    uint64_t latest_ns;   /* the furthest behind its schedule */
};

struct fr_counts {
    struct fr_way way[2];
    uint64_t openings;    /* opening datagrams sent */
    uint64_t answers;     /* first answers to them */
    uint64_t refusals;    /* error answers */
    uint64_t checks;      /* opening datagrams that reached a transceiver */
    uint64_t calls_changed;
    uint64_t addresses_changed;
    uint64_t refused;     /* packets the kernel would not take */
    uint64_t backwards;   /* arrivals stamped before they were due: the clocks moved apart */
    uint64_t held_ns;     /* how long the machine kept the program from running, as far as it noticed */
};

/* LESS_HELD is the latency of both ways less what the machine held the sender up: nothing else is taken out. */
enum fr_what { LATENCY_UP, LATENCY_DOWN, LATE_UP, LATE_DOWN, OPENING, LESS_HELD, WHATS };

/* Mapped; the harness reads the histograms (crowd.py), nanoseconds all. */
struct fr_page {
    struct fr_histogram histogram[WHATS];
};

struct fr_crowd {
    struct fr_call *calls;
    uint64_t *opened_ns;  /* of each call: when its last opening was due; 0 once it is answered */
    uint32_t *owner;      /* the call of each flow */
    uint32_t call_count, flow_count, next_flow;
    uint16_t run;
    uint64_t held_from_ns, held_until_ns; /* the last time the machine kept the program from running */
    uint32_t first_client; /* host order */
    uint32_t first_transceiver;
    uint16_t client_port_be, transceiver_port_be;
    uint32_t transceiver_count;
    uint16_t sizes[MIX_SIZES];
    uint64_t next_size;
    struct fr_counts counts;
    struct fr_page *page;
    struct fr_hearing *hearing; /* NULL where nobody asks */
    struct sockaddr_in *relays; /* with it: by which relay each call was last heard; port 0 before */
};

#define CROWD_NOBODY UINT32_MAX
/* Counts a marked packet and returns its call or CROWD_NOBODY; `end_be` is the address it came to on the way down, 0
 * where any will do. */
uint32_t fr_crowd_arrive(struct fr_crowd *, enum fr_direction, const uint8_t *packet, uint32_t length, uint64_t at_ns,
                         uint32_t end_be);
/* The next packet of a call into `out`, whose filler is there already; returns its length. */
uint32_t fr_crowd_packet(struct fr_crowd *, uint32_t call, enum fr_direction, uint64_t due_ns, uint8_t *out);
void fr_crowd_late(struct fr_crowd *, enum fr_direction, uint64_t now_ns, uint64_t due_ns);
/* Nothing has been sent or seen; openings and where to reply to are kept. */
void fr_crowd_begin(struct fr_crowd *);
/* Media have ended: silence lasts until then. */
void fr_crowd_end(struct fr_crowd *, uint64_t ended_ns);
/* The call takes the next address; false when another call has that one. */
bool fr_crowd_move(struct fr_crowd *, uint32_t call);

static inline uint32_t fr_crowd_client_be(const struct fr_crowd *crowd, const struct fr_call *call)
{
    return htonl(crowd->first_client + call->flow);
}

#endif
