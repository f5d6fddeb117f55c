/* Thousands to a million simulated calls from one process, both ends of each: browsers before a relay, or whatever
 * stands there, and transceivers behind it. One thread sends when something is due and receives in between, so that no
 * scheduler is in what it measures.
 *
 * callers --clients ADDR:PORT --servers ADDR:PORT --transceivers N --calls N --flows N --page FILE
 *         [--size-from N --size-to N] [--seed N] [--openings FILE --stages N] [--channel N]
 *         [--trunk-key FILE --key-id N] [--heard FILE]
 * Client i is the first address and i; transceiver k the first one and k. Without sizes they are those of voice (mix.h).
 * With --heard FILE each call's longest silence is told, and downs follow a call that comes by another relay.
 * With a trunk key media behind the relay are bundles, else plain datagrams that are answered to where they came from.
 *
 * Commands on standard input, each answered by one line of JSON:
 *   to ADDR:PORT               where clients send
 *   also ADDR:PORT             one more place: the calls take turns
 *   trunk ADDR:PORT            where transceivers send bundles
 *   open FIRST N RATE MS       openings of those of these calls that are not open; MS without an answer ends it
 *   talk N INTERVAL_US JITTER_US MS WAYS CALLS ADDRESSES CHECK_MS
 *                              the first N calls talk; WAYS 1 up, 2 down, 3 both; CALLS end and begin anew every second,
 *                              ADDRESSES change every second; each call is opened again every CHECK_MS, 0: never
 *   renew                      all calls end; each has a new address and nothing open
 *   drop, count                the kernel drops what arrives, or it is received again
 *   bare N                     sendmmsg and nothing else
 *
 * Lives here: the command line, the answers. Must not live here: what is done (play.h).
 */
#include "play.h"

#include "../program.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX (1u << 21)
#define FLOWS_MAX (1u << 22)

static struct fr_crowd crowd;
static struct fr_clients clients = {.crowd = &crowd};
static struct fr_servers servers = {.crowd = &crowd};
static struct fr_play play = {.crowd = &crowd, .clients = &clients, .servers = &servers};

static void say_way(const char *name, const struct fr_way *way)
{
    printf(", \"%s\": {\"due\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"unready\": %" PRIu64 ", \"first\": %" PRIu64
           ", \"overtaken\": %" PRIu64 ", \"again\": %" PRIu64 ", \"stray\": %" PRIu64 ", \"foreign\": %" PRIu64
           ", \"misdelivered\": %" PRIu64 ", \"latest_ns\": %" PRIu64 "}",
           name, way->due, way->sent, way->unready, way->first, way->overtaken, way->again, way->stray, way->foreign,
           way->misdelivered, way->latest_ns);
}

static void say_counts(uint64_t elapsed_ns)
{
    const struct fr_counts *counts = &crowd.counts;
    printf("{\"elapsed_ns\": %" PRIu64, elapsed_ns);
    say_way("up", &counts->way[UP]);
    say_way("down", &counts->way[DOWN]);
    printf(", \"openings\": %" PRIu64 ", \"answers\": %" PRIu64 ", \"refusals\": %" PRIu64 ", \"checks\": %" PRIu64
           ", \"calls_changed\": %" PRIu64 ", \"addresses_changed\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"backwards\": %" PRIu64 ", \"held_ns\": %" PRIu64 "}\n",
           counts->openings, counts->answers, counts->refusals, counts->checks, counts->calls_changed,
           counts->addresses_changed, counts->refused, counts->backwards, counts->held_ns);
}

static void open_calls(uint32_t first, uint32_t count, uint64_t rate, uint64_t patience_ms)
{
    if (first > crowd.call_count || count > crowd.call_count - first || rate == 0 || clients.stages == 0) {
        printf("{\"error\": \"no such calls, no rate, or nothing to open them with\"}\n");
        return;
    }
    uint64_t started = fr_now_ns();
    fr_play_open(&play, first, count, rate, patience_ms * 1000000);
    say_counts(fr_now_ns() - started);
}

static void talk(const struct fr_talk *talk)
{
    bool has_changes = talk->calls_changed_per_s || talk->addresses_changed_per_s;
    if (talk->calls < 1 || talk->calls > crowd.call_count || talk->interval_ns < 1000000
        || talk->jitter_ns * 2 > talk->interval_ns || !(talk->has_way[UP] || talk->has_way[DOWN])
        || (talk->check_every_ns && clients.stages == 0) || (has_changes && (!talk->has_way[UP] || clients.stages > 1))) {
        printf("{\"error\": \"no such talk\"}\n");
        return;
    }
    say_counts(fr_play_talk(&play, talk));
}

static void renew(void)
{
    for (uint32_t i = 0; i < crowd.call_count; i++) {
        struct fr_call *call = &crowd.calls[i];
        if (!fr_crowd_move(&crowd, i))
            fr_fail("more calls than free addresses");
        if (clients.record_count)
            call->record = call->flow % clients.record_count;
        call->stage = 0;
        call->is_heard = 0;
        crowd.opened_ns[i] = 0;
    }
    printf("{\"done\": true}\n");
}

static void drop(bool is_dropping)
{
    fr_wire_drop(servers.fd, is_dropping);
    play.is_dropping = is_dropping;
    printf("{\"done\": true}\n");
}

static void obey(const char *line)
{
    uint64_t a, b, c, d, e, f, g, h;
    if (strncmp(line, "to ", 3) == 0) {
        clients.targets[0] = fr_parse_endpoint(line + 3);
        clients.target_count = 1;
        printf("{\"done\": true}\n");
    } else if (strncmp(line, "also ", 5) == 0 && clients.target_count < TARGETS_MAX) {
        clients.targets[clients.target_count++] = fr_parse_endpoint(line + 5);
        printf("{\"done\": true}\n");
    } else if (strncmp(line, "trunk ", 6) == 0) {
        servers.relay = fr_parse_endpoint(line + 6);
        printf("{\"done\": true}\n");
    } else if (sscanf(line, "open %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &a, &b, &c, &d) == 4) {
        open_calls((uint32_t)a, (uint32_t)b, c, d);
    } else if (sscanf(line, "talk %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                            " %" SCNu64, &a, &b, &c, &d, &e, &f, &g, &h) == 8) {
        struct fr_talk wanted = {.calls = (uint32_t)a, .interval_ns = b * 1000, .jitter_ns = c * 1000,
                                 .duration_ns = d * 1000000, .has_way = {e & 1, e >> 1 & 1},
                                 .calls_changed_per_s = (uint32_t)f, .addresses_changed_per_s = (uint32_t)g,
                                 .check_every_ns = h * 1000000};
        talk(&wanted);
    } else if (sscanf(line, "bare %" SCNu64, &a) == 1) {
        a = (a + CROWD_BATCH - 1) / CROWD_BATCH * CROWD_BATCH;
        uint64_t took = fr_play_bare(&play, a);
        printf("{\"sent\": %" PRIu64 ", \"elapsed_ns\": %" PRIu64 "}\n", a, took);
    } else if (strcmp(line, "renew\n") == 0) {
        renew();
    } else if (strcmp(line, "drop\n") == 0 || strcmp(line, "count\n") == 0) {
        drop(line[0] == 'd');
    } else {
        printf("{\"error\": \"unknown command\"}\n");
    }
    fflush(stdout);
}

static void open_crowd(int argc, char **argv)
{
    uint64_t calls = fr_option_number(argc, argv, "--calls", 1), flows = fr_option_number(argc, argv, "--flows", calls);
    uint64_t from = fr_option_number(argc, argv, "--size-from", 0), to = fr_option_number(argc, argv, "--size-to", from);
    uint64_t transceivers = fr_option_number(argc, argv, "--transceivers", 1);
    if (calls < 1 || calls > CALLS_MAX || flows < calls || flows > FLOWS_MAX || transceivers < 1
        || transceivers > CROWD_TRANSCEIVERS || (from && (from < MARKED_MIN || to < from || to > PACKET_MAX))) {
        fprintf(stderr, "calls 1..%u, flows not fewer, to %u, transceivers 1..%u, sizes %u..%u\n", CALLS_MAX, FLOWS_MAX,
                CROWD_TRANSCEIVERS, MARKED_MIN, PACKET_MAX);
        exit(2);
    }
    uint64_t seed = fr_option_number(argc, argv, "--seed", 1);
    fr_mix_fill(crowd.sizes, seed, (unsigned)from, (unsigned)to);
    play.draws = fr_draw_seed(seed);
    fr_outbox_open(&clients.outbox, seed);
    fr_outbox_open(&servers.outbox, seed);
    crowd.call_count = (uint32_t)calls;
    crowd.flow_count = (uint32_t)flows;
    crowd.next_flow = (uint32_t)(calls % flows);
    crowd.transceiver_count = (uint32_t)transceivers;
    crowd.calls = aligned_alloc(64, sizeof *crowd.calls * calls);
    clients.targets = calloc(TARGETS_MAX, sizeof *clients.targets);
    crowd.opened_ns = calloc(calls, sizeof *crowd.opened_ns);
    crowd.owner = malloc(flows * sizeof *crowd.owner);
    crowd.page = fr_map_file(fr_option_text(argc, argv, "--page", NULL), sizeof *crowd.page);
    if (*fr_option_text(argc, argv, "--heard", "")) {
        size_t bytes = sizeof *crowd.hearing + sizeof *crowd.hearing->calls * calls;
        crowd.hearing = fr_map_file(fr_option_text(argc, argv, "--heard", ""), bytes);
        crowd.relays = calloc(calls, sizeof *crowd.relays);
        if (!crowd.relays)
            fr_fail("relays");
    }
    if (!clients.targets || !crowd.calls || !crowd.opened_ns || !crowd.owner)
        fr_fail("calls");
    memset(crowd.calls, 0, sizeof *crowd.calls * calls);
    for (uint32_t flow = 0; flow < flows; flow++)
        crowd.owner[flow] = flow < calls ? flow : CROWD_NOBODY;
    for (uint32_t i = 0; i < calls; i++) {
        crowd.calls[i].flow = i;
        crowd.calls[i].record = clients.record_count ? i % clients.record_count : 0;
    }
}

int main(int argc, char **argv)
{
    char line[160];
    const char *openings = fr_option_text(argc, argv, "--openings", "");
    const char *trunk_key = fr_option_text(argc, argv, "--trunk-key", "");
    if (*openings)
        fr_clients_load(&clients, openings, (uint32_t)fr_option_number(argc, argv, "--stages", 1));
    open_crowd(argc, argv);
    if (*trunk_key)
        fr_servers_trunk(&servers, trunk_key, (uint8_t)fr_option_number(argc, argv, "--key-id", 0));
    clients.channel = (uint16_t)fr_option_number(argc, argv, "--channel", 0);
    clients.has_channel = clients.channel != 0;
    struct sockaddr_in first_client = fr_parse_endpoint(fr_option_text(argc, argv, "--clients", NULL));
    struct sockaddr_in first_server = fr_parse_endpoint(fr_option_text(argc, argv, "--servers", NULL));
    crowd.first_client = ntohl(first_client.sin_addr.s_addr);
    crowd.first_transceiver = ntohl(first_server.sin_addr.s_addr);
    crowd.client_port_be = first_client.sin_port;
    crowd.transceiver_port_be = first_server.sin_port;
    /* bound to the wildcard: addresses travel beside the packets */
    clients.fd = fr_wire_open((struct sockaddr_in){.sin_family = AF_INET, .sin_port = first_client.sin_port});
    servers.fd = fr_wire_open((struct sockaddr_in){.sin_family = AF_INET, .sin_port = first_server.sin_port});
    fr_stop_on_signals();
    fr_say_ready(servers.fd, &first_server);
    while (!fr_stop && fgets(line, sizeof line, stdin))
        obey(line);
    return 0;
}
