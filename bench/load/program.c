#include "program.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

volatile sig_atomic_t fr_stop;

static void note_stop(int signal_number)
{
    (void)signal_number;
    fr_stop = 1;
}

_Noreturn void fr_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(2);
}

void fr_stop_on_signals(void)
{
    /* no SA_RESTART: a program blocked in recvmmsg has to come back and see the flag */
    struct sigaction action = {.sa_handler = note_stop};
    if (sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0)
        fr_fail("sigaction");
    /* a harness that dies must not leave a spinning generator behind */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        fr_fail("prctl");
}

const char *fr_option_text(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    if (!fallback) {
        fprintf(stderr, "missing option %s\n", name);
        exit(2);
    }
    return fallback;
}

uint64_t fr_option_number(int argc, char **argv, const char *name, uint64_t fallback)
{
    const char *text = fr_option_text(argc, argv, name, "");
    if (!*text)
        return fallback;
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno || *end) {
        fprintf(stderr, "%s: not a number: %s\n", name, text);
        exit(2);
    }
    return number;
}

struct sockaddr_in fr_parse_endpoint(const char *text)
{
    struct sockaddr_in endpoint = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN] = "";
    const char *colon = strchr(text, ':');
    if (colon && (size_t)(colon - text) < sizeof host)
        memcpy(host, text, (size_t)(colon - text));
    if (!colon || inet_pton(AF_INET, host, &endpoint.sin_addr) != 1) {
        fprintf(stderr, "not an address and port: %s\n", text);
        exit(2);
    }
    endpoint.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return endpoint;
}

static void set_buffer(int fd, int forced, int plain, int bytes)
{
    if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) == 0)
        return;
    /* without CAP_NET_ADMIN the kernel caps this at rmem_max; the ready line tells the harness what came of it */
    if (setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes) != 0)
        fr_fail("socket buffer");
}

int fr_open_udp(struct sockaddr_in *local)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fr_fail("socket");
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, FLOOR_RECEIVE_BUFFER);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, FLOOR_SEND_BUFFER);
    socklen_t length = sizeof *local;
    if (bind(fd, (struct sockaddr *)local, length) != 0)
        fr_fail("bind");
    if (getsockname(fd, (struct sockaddr *)local, &length) != 0)
        fr_fail("getsockname");
    return fd;
}

void *fr_map_file(const char *path, uint64_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0)
        fr_fail(path);
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        fr_fail(path);
    close(fd);
    return mapped;
}

struct fr_tally *fr_map_tally(const char *path)
{
    return fr_map_file(path, sizeof(struct fr_tally));
}

void fr_say_ready(int fd, const struct sockaddr_in *local)
{
    int buffer = 0;
    socklen_t length = sizeof buffer;
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, &length) != 0)
        fr_fail("SO_RCVBUF");
    printf("{\"ready\": true, \"port\": %u, \"receive_buffer\": %d}\n", ntohs(local->sin_port), buffer);
    fflush(stdout);
}

void fr_say_totals(const struct fr_tally *tally)
{
    printf("{\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"calls\": %" PRIu64 ", \"sent\": %" PRIu64
           ", \"refused\": %" PRIu64 "}\n",
           tally->packets, tally->bytes, tally->calls, tally->sent, tally->refused);
    fflush(stdout);
}
