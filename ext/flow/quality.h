/* Call quality as a relay can see it: from the clear RTP header (RFC 3550 §5.1) of what a client sends.
 *
 * Lives here: a record for each flow slot, what one looked-at packet does to it, and what it adds to the histograms.
 * Packets are looked at after they have been sent, and a busy worker looks at few of them. Loss does not suffer: every
 * packet is counted, so what is missing between two samples is the advance of the sequence less the packets counted.
 * Jitter and reordering are those of the samples. The clock is Opus' 48 kHz (RFC 7587), whatever the sender uses.
 * Must not live here: which packets are looked at (relay_up), where records lie and when a call ends (table).
 *
 * Nothing in a record is trusted or used as an index: any value is legal, after a crash or from a hostile sender.
 */
#ifndef FR_FLOW_QUALITY_H
#define FR_FLOW_QUALITY_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FR_RTP_HEADER_BYTES 12
/* Sequence numbers: RFC 3550 A.1's MAX_DROPOUT and MAX_MISORDER. What is further off is another stream. */
#define FR_RTP_DROPOUT 3000
#define FR_RTP_MISORDER 100
/* RTP packets that make a call worth a place in the histograms: one second */
#define FR_CALL_PACKETS_MIN 50

enum fr_quality_state {
    FR_QUALITY_MEDIA = 1,   /* an RTP packet has been looked at */
    FR_QUALITY_DTLS = 2,    /* a DTLS packet has been seen */
    FR_QUALITY_TIMED = 4,   /* the flow was made here by a first check, so set-up times can be taken */
    FR_QUALITY_STRAYED = 8, /* the last sample did not belong to the stream; another one and it is the stream */
};

struct fr_quality {
    uint32_t transit;   /* arrival less timestamp of the last sample, 1/48,000 s. Until media: when the flow was made, ms */
    uint16_t ssrc_tag;  /* the stream's SSRC, folded */
    uint16_t rtp_at;    /* RTP packets that `sequence` accounts for, low bits */
    uint16_t sequence;  /* highest of the stream so far. Until media: ms from the flow's making to its first DTLS */
    uint16_t others_up; /* packets up that are no RTP, wraps; RTP packets are packets_up less this */
    uint16_t lost;      /* saturates, and then stays */
    uint16_t jitter;    /* RFC 3550 A.8, 1/8 ms */
    uint16_t setup_ms;  /* first check to first RTP, at least 1, saturates; 0 = not known */
    uint8_t reordered;  /* samples older than the highest before them, saturates */
    uint8_t state;      /* enum fr_quality_state */
};

_Static_assert(sizeof(struct fr_quality) == 20, "a million flows fit 96 bytes each");

/* One RTP packet of at least FR_RTP_HEADER_BYTES, looked at. */
struct fr_rtp_sample {
    const uint8_t *packet;
    uint32_t arrival; /* 1/48,000 s, wraps */
    uint32_t now_ms;  /* the clock the flow was made by, low bits */
    uint16_t rtp_up;  /* RTP packets of the flow up to this one, low bits */
};

struct fr_counters;

static inline uint32_t fr_rtp_clock(uint64_t now_us)
{
    return (uint32_t)(now_us * 48 / 1000);
}

static inline uint16_t fr_rtp_sequence(const uint8_t *packet)
{
    return (uint16_t)(packet[2] << 8 | packet[3]);
}

static inline uint16_t fr_rtp_ssrc_tag(const uint8_t *packet)
{
    uint32_t ssrc;
    memcpy(&ssrc, packet + 8, 4);
    return (uint16_t)(ssrc ^ ssrc >> 16);
}

/* A first check has made the flow: set-up times count from here. */
static inline void fr_quality_begin(struct fr_quality *quality, uint32_t now_ms)
{
    quality->transit = now_ms;
    quality->state = FR_QUALITY_TIMED;
}

/* A packet up that is no RTP. */
void fr_quality_other(struct fr_quality *quality, bool is_dtls, uint32_t now_ms);

/* Whether the packet is just the one that follows, were all counted packets up to it. */
static inline bool fr_quality_is_next(const struct fr_quality *quality, const uint8_t *packet, uint16_t rtp_up)
{
    uint16_t next = (uint16_t)(quality->sequence + (rtp_up - quality->rtp_at));
    return (quality->state & FR_QUALITY_MEDIA) && fr_rtp_sequence(packet) == next
           && fr_rtp_ssrc_tag(packet) == quality->ssrc_tag;
}

/* Takes a sample in; the first one of a timed flow goes into the counters' set-up histograms. */
void fr_quality_sample(struct fr_quality *quality, const struct fr_rtp_sample *sample, struct fr_counters *counters);

/* RTP packets of the flow so far. */
static inline uint32_t fr_quality_rtp(const struct fr_quality *quality, uint32_t packets_up)
{
    return packets_up > quality->others_up ? packets_up - quality->others_up : 0;
}

/* The flow has ended: its loss and jitter go into the counters' histograms, if it was a call. */
void fr_quality_end(const struct fr_quality *quality, uint32_t packets_up, struct fr_counters *counters);

#endif
