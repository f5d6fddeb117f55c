/* The commands of a generator: fill a queue, or send at a rate.
 *
 * Commands come on standard input, one a line; each is answered by one line of JSON:
 *   to ADDR:PORT    where the following packets go
 *   fill N          N packets as fast as they go
 *   pace RATE N     N packets at RATE per second, open loop: what is late is sent late, never skipped; SIGTERM ends it
 *   checks N        the STUN checks of the next N clients
 *
 * Lives here: reading commands, the schedule. Must not live here: what a packet looks like.
 */
#ifndef FR_BENCH_GENERATOR_H
#define FR_BENCH_GENERATOR_H

#include <netinet/in.h>
#include <stdint.h>

/* packets in one send step; also the largest burst of the paced mode */
#define GENERATOR_BATCH 64

struct fr_generator {
    int fd;
    uint32_t nap_us; /* how long it sleeps when nothing is due; 0 spins */
    struct sockaddr_in target;
    /* sends exactly `count` packets, at most GENERATOR_BATCH; sent_ns is their stamp */
    void (*send_media)(struct fr_generator *, int count, uint64_t sent_ns);
    /* sends the checks of the next `count` clients, at most GENERATOR_BATCH; NULL when it has none */
    void (*send_checks)(struct fr_generator *, int count);
};

/* Returns when standard input ends or the program is told to stop. */
void fr_generator_run(struct fr_generator *);

#endif
