/* Every limit of the data plane, with its unit and its reason. Nothing else.
 * Those an operator may change are defaults here and travel in struct fr_limits.
 */
/* With ext/ on the include path the compiler finds this file where it looks for the system's <limits.h>: hand that on.
 * Outside the guard, because the system's header recurses into itself. */
#include_next <limits.h>

#ifndef FR_LIMITS_H
#define FR_LIMITS_H

/* --- shapes: fixed at compile time -------------------------------------- */

/* bytes; WebRTC stays below 1,500 (a path MTU); the rest is slack for jumbo test networks.
 * Must fit the twelve length bits of a frame header. */
#define FR_CLIENT_DATAGRAM_MAX 2048
/* datagrams in one receive call; 256 is where bundling for eight transceivers stops gaining */
#define FR_BATCH 256
/* datagrams of a receive batch up to which each RTP header is looked at once the batch has left: a worker whose batches
 * are larger has better things to do, and looks at FR_SAMPLES of them */
#define FR_SAMPLED_WHOLE 16
#define FR_SAMPLES 4
/* messages in one sendmmsg to clients; the kernel's cost per message is flat from 64 on */
#define FR_SEND_BATCH 128
/* bytes of one trunk datagram before a bundle is closed: fits an MTU of 1,500 with IPv6 and some encapsulation */
#define FR_BUNDLE_BYTES 1400
/* frames in one bundle: a bundle full of the smallest useful packets (13-byte DTLS alerts) still fits */
#define FR_BUNDLE_FRAMES 64
/* segments of one UDP_SEGMENT send; the kernel's own limit is 64 before Linux 6.9 */
#define FR_SEGMENTS 64
/* bytes of one UDP_SEGMENT send: the largest UDP payload over IPv4, less room for IPv6 */
#define FR_SEGMENTED_BYTES 65000
/* bytes of a trunk receive buffer: UDP_GRO may hand over a full 64 KiB at once, and truncates a smaller buffer */
#define FR_TRUNK_BUFFER 65536
/* trunk buffers filled by one receive call */
#define FR_TRUNK_BATCH 4
/* receive calls on a trunk in one turn: each is followed by sends that may wait for room, and datagrams that were cut
 * are judged by nobody */
#define FR_TRUNK_RECEIVES 16
/* listening sockets of one worker */
#define FR_LISTENERS 16
/* local addresses a worker may answer from; a `via` names one */
#define FR_LOCALS 64
/* transceivers one worker speaks to */
#define FR_PEERS 1024
/* other workers of a relay whose flow tables one may read: more than a machine has cores for */
#define FR_SIBLINGS 256
/* milliseconds of silence after which another worker's flow is not taken over: the rarest sign of life of a live client
 * is a check every 6 s, and one that was silent for longer may have hung up at yet another worker */
#define FR_SIBLING_FRESH_MS 10000
/* networks in the allow-list; scanned once per admission and per trunk datagram */
#define FR_ALLOWED 64
/* characters of a server ufrag (RFC 8839 allows 256) that a token may take */
#define FR_TOKEN_TEXT_MAX 72
/* keys in a ring: four bits of the token's header byte */
#define FR_KEYS 16
/* sequence numbers a trunk datagram may arrive late: a few bursts of 64 segments over unequal paths */
#define FR_REPLAY_WINDOW 1024
/* slots examined before a table or peer look-up gives up: an attacker who forces longer runs is refused instead */
#define FR_PROBES 128
/* times a turn waits a millisecond for room in a send buffer: any longer and the next packets are late as well */
#define FR_SEND_PATIENCE 2
/* entries one sweep step looks at: about 10 us, so the loop never stalls */
#define FR_SWEEP_STEP 256

/* --- defaults: an operator may change them ------------------------------- */

/* flows */
#define FR_FLOWS_DEFAULT 131072
/* milliseconds until an unanswered flow is dropped: the transceiver answers a check at once or never */
#define FR_UNCONFIRMED_AFTER_MS 5000
/* milliseconds of silence from the client: above the 30 s of ICE consent (RFC 7675), so a live session never expires here */
#define FR_IDLE_AFTER_MS 60000
/* milliseconds in which a sweep visits every flow once */
#define FR_SWEEP_PERIOD_MS 4000
/* flows one session may hold: a roaming client leaves old addresses behind until they go idle */
#define FR_SESSION_FLOWS 16
/* admissions one IPv4 address or IPv6 /64 may try: rate and burst; carriers put many callers behind one address */
#define FR_SOURCE_ADMISSIONS_PER_S 200
#define FR_SOURCE_ADMISSIONS_BURST 400
/* admissions one worker may try: at about 4 us each, 8 % of a core; the burst bounds one stall to about 1 ms */
#define FR_ADMISSIONS_PER_S 20000
#define FR_ADMISSIONS_BURST 256
/* flows one worker may make again for authenticated transceivers: a lost table comes back within a second */
#define FR_RECREATIONS_PER_S 50000
#define FR_RECREATIONS_BURST 5000
/* looks into other workers' tables one worker may take, for strangers: at about 0.2 us for each of 16 others, 6 % of a
 * core; the burst brings a thousand calls over at once when steering changes, and stalls the loop for 3 ms at most */
#define FR_SIBLING_LOOKUPS_PER_S 20000
#define FR_SIBLING_LOOKUPS_BURST 1000
/* seconds a token opens: the longest call plus reconnects */
#define FR_TOKEN_LIFETIME_S 86400
/* seconds a minting clock may be ahead of the relay's */
#define FR_CLOCK_SKEW_S 60
/* milliseconds between HELLOs */
#define FR_HELLO_EVERY_MS 1000
/* milliseconds of silence after which a peer's slot and replay window may be given up */
#define FR_PEER_FORGET_MS 60000

/* What an operator may change, as the loop gets it. */
#include <stdint.h>
struct fr_limits {
    uint32_t unconfirmed_after_ms;
    uint32_t idle_after_ms;
    uint32_t sweep_period_ms;
    uint32_t session_flows;
    uint32_t source_admissions_per_s;
    uint32_t source_admissions_burst;
    uint32_t admissions_per_s;
    uint32_t admissions_burst;
    uint32_t recreations_per_s;
    uint32_t recreations_burst;
    uint32_t sibling_lookups_per_s;
    uint32_t sibling_lookups_burst;
    uint32_t token_lifetime_s;
    uint32_t clock_skew_s;
    uint32_t hello_every_ms;
    uint32_t peer_forget_ms;
};

#endif
