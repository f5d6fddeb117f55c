/* What every benchmark program shares.
 *
 * Lives here: addresses and numbers from the command line, a socket with large
 * buffers, the tally a program keeps in a mapped file so that the harness can
 * tell when a queue is empty, the stop flag, the ready line.
 * Must not live here: anything that runs once per packet.
 */
#ifndef FR_BENCH_PROGRAM_H
#define FR_BENCH_PROGRAM_H

#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* datagrams in one recvmmsg or sendmmsg of a floor; the kernel's cost per message is flat from 64 on */
#define FLOOR_BATCH 64
/* bytes of one receive slot: above any packet the benchmarks send */
#define FLOOR_SLOT 2048
/* bytes asked for as a receive buffer: far above the 18 MiB that the kernel counts for 8,192 packets of 1,200 bytes */
#define FLOOR_RECEIVE_BUFFER (64 << 20)
#define FLOOR_SEND_BUFFER (8 << 20)

/* One writer, the program; one reader, the harness. Words of the mapped file, in this order (candidates.py). */
struct fr_tally {
    uint64_t packets;   /* datagrams or frames that arrived */
    uint64_t bytes;     /* of them */
    uint64_t calls;     /* system calls that moved them */
    uint64_t sent;      /* datagrams that left */
    uint64_t refused;   /* datagrams the kernel refused to send, or that made no sense */
};

extern volatile sig_atomic_t fr_stop;

/* Ends the program with a message on stderr and exit code 2: benchmarks have nothing to recover. */
_Noreturn void fr_fail(const char *what);
void fr_stop_on_signals(void);

/* The value after `--name`, or fallback. fr_option_text fails when there is neither. */
const char *fr_option_text(int argc, char **argv, const char *name, const char *fallback);
uint64_t fr_option_number(int argc, char **argv, const char *name, uint64_t fallback);
/* "a.b.c.d:port" */
struct sockaddr_in fr_parse_endpoint(const char *text);

/* Port 0 asks the kernel for one; *local is filled with what was bound. */
int fr_open_udp(struct sockaddr_in *local);
/* Maps `path` (made and sized here) for the life of the program. */
struct fr_tally *fr_map_tally(const char *path);
void *fr_map_file(const char *path, uint64_t bytes);

/* One line of JSON: the port and the receive buffer the kernel really gave. */
void fr_say_ready(int fd, const struct sockaddr_in *local);
void fr_say_totals(const struct fr_tally *tally);

static inline void fr_tally_add(uint64_t *word, uint64_t more)
{
    __atomic_store_n(word, *word + more, __ATOMIC_RELEASE);
}

#endif
