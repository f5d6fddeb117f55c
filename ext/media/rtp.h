/* RTP's fixed header (RFC 3550 §5.1), for whoever holds the keys of its payload.
 *
 * Lives here: reading and writing one header, padding, extended sequence numbers, in caller-owned memory.
 * Must not live here: encryption, statistics, the relay's look at the clear header (flow/quality.h).
 */
#ifndef FR_MEDIA_RTP_H
#define FR_MEDIA_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FR_RTP_HEADER 12
/* bytes; no RTP packet is larger, sealed or open: an Ethernet frame's */
#define FR_RTP_PACKET_MAX 1500
/* Hz; RFC 7587 §4.1: the only one Opus has in RTP, whatever rate it codes */
#define FR_RTP_CLOCK_RATE 48000u

struct fr_rtp_header {
    uint32_t timestamp;
    uint32_t ssrc;
    uint16_t sequence;
    uint16_t length; /* where the payload begins: behind contributing sources and extension; at most the packet's */
    uint8_t payload_type;
    bool is_marked;
    bool is_padded;
};

/* 0, or -EBADMSG when the packet cannot hold what it announces or has more than FR_RTP_PACKET_MAX bytes. */
int fr_rtp_parse_header(struct fr_rtp_header *header, const uint8_t *packet, size_t length);

/* Bytes of the opened packet's payload without its padding, or -EBADMSG. */
int fr_rtp_payload_length(const struct fr_rtp_header *header, const uint8_t *packet, size_t length);

/* Writes FR_RTP_HEADER bytes; the header has no sources, extension or padding, and `length` is not read. */
void fr_rtp_build_header(uint8_t *packet, const struct fr_rtp_header *header);

/* The sequence number with its roll-over counter, given the highest extended one so far.
 *
 * RFC 3711 §3.3.1, with the rule libsrtp adds: nothing lies before the first roll-over. It must be that very rule,
 * because the packet has been authenticated with the counter that libsrtp estimated. */
uint64_t fr_rtp_extend_sequence(uint16_t sequence, uint64_t highest);

#endif
