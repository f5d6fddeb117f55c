#include "generator.h"
#include "program.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* how far a generator that sleeps may be behind before it gives up catching up */
#define NAP_BEHIND_NS 50000000u

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void nap(uint32_t us)
{
    struct timespec wait = {.tv_nsec = (long)us * 1000};
    if (us)
        nanosleep(&wait, NULL);
}

static void fill(struct fr_generator *generator, uint64_t count, bool with_checks)
{
    uint64_t sent = 0;
    while (sent < count && !fr_stop) {
        int batch = count - sent < GENERATOR_BATCH ? (int)(count - sent) : GENERATOR_BATCH;
        if (with_checks)
            generator->send_checks(generator, batch);
        else
            generator->send_media(generator, batch, 0);
        sent += (uint64_t)batch;
    }
    printf("{\"sent\": %" PRIu64 "}\n", sent);
}

/* Packet k is due at k / rate. Between due times the loop spins, because a sleep would be late by its own wake-up; or
 * it sleeps, where a steady load for minutes counts and not its microseconds.
 * A packet's stamp is when it was due, not when it left: a generator held up must not hide the wait it caused.
 * One that sleeps shares its processor and is held up by others. So it stamps when the packet leaves, which makes the
 * wait the relay's own, and is not more than NAP_BEHIND_NS behind: no socket holds what it would send in one burst. */
static void pace(struct fr_generator *generator, uint64_t rate, uint64_t count)
{
    uint64_t started = now_ns(), sent = 0, latest_ns = 0;
    while (sent < count && !fr_stop) {
        uint64_t passed = now_ns() - started;
        uint64_t due = (uint64_t)((double)passed * (double)rate / 1e9);
        if (due <= sent) {
            nap(generator->nap_us);
            continue;
        }
        uint64_t ready = (due < count ? due : count) - sent;
        int batch = ready < GENERATOR_BATCH ? (int)ready : GENERATOR_BATCH;
        uint64_t was_due = (uint64_t)((double)sent * 1e9 / (double)rate), late_ns = passed - was_due;
        if (late_ns > latest_ns)
            latest_ns = late_ns;
        generator->send_media(generator, batch, started + (generator->nap_us ? passed : was_due));
        sent += (uint64_t)batch;
        if (generator->nap_us && late_ns > NAP_BEHIND_NS)
            started += late_ns;
    }
    printf("{\"sent\": %" PRIu64 ", \"elapsed_ns\": %" PRIu64 ", \"latest_ns\": %" PRIu64 "}\n", sent,
           now_ns() - started, latest_ns);
}

static void obey(struct fr_generator *generator, const char *line)
{
    uint64_t count, rate;
    if (sscanf(line, "fill %" SCNu64, &count) == 1) {
        fill(generator, count, false);
    } else if (generator->send_checks && sscanf(line, "checks %" SCNu64, &count) == 1) {
        fill(generator, count, true);
    } else if (sscanf(line, "pace %" SCNu64 " %" SCNu64, &rate, &count) == 2 && rate > 0) {
        pace(generator, rate, count);
    } else if (strncmp(line, "to ", 3) == 0) {
        generator->target = fr_parse_endpoint(line + 3);
        printf("{\"sent\": 0}\n");
    } else {
        printf("{\"error\": \"unknown command\"}\n");
    }
    fflush(stdout);
}

void fr_generator_run(struct fr_generator *generator)
{
    char line[128];
    while (!fr_stop && fgets(line, sizeof line, stdin))
        obey(generator, line);
}
