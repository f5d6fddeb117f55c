/* The browsers' end of all calls: one socket, an address for each call.
 *
 * Lives here: opening flows, media up, media and answers down. Must not live here: when to send (play.c).
 */
#ifndef FR_BENCH_CLIENTS_H
#define FR_BENCH_CLIENTS_H

#include "wire.h"

/* relays with a port for each call have many */
#define TARGETS_MAX 65536
/* answers a flow may need before it carries media */
#define OPENING_STAGES_MAX 8

struct fr_clients {
    struct fr_crowd *crowd;
    int fd;
    struct sockaddr_in *targets; /* call i sends to target i mod their count */
    uint32_t target_count;
    bool has_channel;        /* media travel as TURN ChannelData */
    uint16_t channel;
    struct iovec *openings;  /* `stages` of each record */
    uint32_t record_count;
    uint32_t stages;         /* 0: nothing opens a flow but its first packet */
    struct fr_outbox outbox;
};

/* FILE: length u16 big-endian + bytes, repeated; `stages` datagrams of each record behind each other. */
void fr_clients_load(struct fr_clients *, const char *path, uint32_t stages);
/* Media of these calls, at most CROWD_BATCH; a call with a change sends its opening instead. */
void fr_clients_send(struct fr_clients *, const uint32_t *calls, const uint64_t *due_ns, unsigned count);
/* The next opening of each of these calls. */
void fr_clients_open(struct fr_clients *, const uint32_t *calls, const uint64_t *due_ns, unsigned count);
/* Returns how many datagrams were there. */
unsigned fr_clients_receive(struct fr_clients *);

#endif
