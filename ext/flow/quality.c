/* Call quality from the clear RTP header. See quality.h. */
#include "flow/quality.h"

#include "counters.h"

/* Transit times further apart than this are a sender's new clock, not jitter: one second at 48 kHz. */
#define TRANSIT_JUMP 48000u
/* milliseconds of speech in a packet, as browsers send it: for packets that came before the first one looked at */
#define PACKET_MS 20u
#define JITTER_US 125u /* of one unit of the record's jitter */

static uint16_t saturated(uint32_t value)
{
    return value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

void fr_quality_other(struct fr_quality *quality, bool is_dtls, uint32_t now_ms)
{
    quality->others_up++;
    if (!is_dtls || quality->state & FR_QUALITY_DTLS)
        return;
    if (!(quality->state & FR_QUALITY_MEDIA))
        quality->sequence = saturated(now_ms - quality->transit);
    quality->state |= FR_QUALITY_DTLS;
}

static uint32_t transit_of(const struct fr_rtp_sample *sample)
{
    uint32_t timestamp_be;
    memcpy(&timestamp_be, sample->packet + 4, 4);
    return sample->arrival - be32toh(timestamp_be);
}

/* The stream is the sample's from here on; nothing is held against what came before. */
static void follow(struct fr_quality *quality, const struct fr_rtp_sample *sample)
{
    quality->transit = transit_of(sample);
    quality->ssrc_tag = fr_rtp_ssrc_tag(sample->packet);
    quality->sequence = fr_rtp_sequence(sample->packet);
    quality->rtp_at = sample->rtp_up;
    quality->state &= (uint8_t)~FR_QUALITY_STRAYED;
}

/* RTP that came unseen before the first sample is taken to have come at a packet's usual distance. */
static void take_setup(struct fr_quality *quality, const struct fr_rtp_sample *sample, struct fr_counters *counters)
{
    uint32_t setup_ms = sample->now_ms - quality->transit, dtls_ms = quality->sequence;
    uint32_t unseen_ms = PACKET_MS * (uint16_t)(sample->rtp_up - 1);

    setup_ms = setup_ms > unseen_ms ? setup_ms - unseen_ms : 0;
    quality->setup_ms = setup_ms ? saturated(setup_ms) : 1;
    counters->call_setup_us[fr_histogram_bucket((uint64_t)setup_ms * 1000)]++;
    if (quality->state & FR_QUALITY_DTLS) {
        uint64_t media_ms = setup_ms > dtls_ms ? setup_ms - dtls_ms : 0;
        counters->call_media_us[fr_histogram_bucket(media_ms * 1000)]++;
    }
}

/* RFC 3550 A.8: J += (|D| - J) / 16. A unit is 6 ticks, so a sixteenth of a difference is mostly a fraction: it is
 * rounded by the packet's number, up as often as is right, or else small differences would never count. */
static void take_jitter(struct fr_quality *quality, const struct fr_rtp_sample *sample)
{
    uint32_t transit = transit_of(sample), later = transit - quality->transit;
    uint32_t distance = (int32_t)later < 0 ? -later : later;

    quality->transit = transit;
    if (distance <= TRANSIT_JUMP)
        quality->jitter = (uint16_t)((distance + 90u * quality->jitter + 6u * (sample->rtp_up & 15u)) / 96u);
}

/* RFC 3550 A.3: lost is expected less received, so a late packet makes good the loss it was counted as, and so does a
 * duplicate. What is received too much is kept for the losses that follow, as far as it can be from reordering. */
static void take_loss(struct fr_quality *quality, const struct fr_rtp_sample *sample, int16_t missing)
{
    int32_t lost = quality->lost + missing;
    int32_t surplus = lost < 0 ? -lost : 0;

    if (surplus > FR_RTP_MISORDER)
        surplus = FR_RTP_MISORDER;
    if (quality->lost != UINT16_MAX)
        quality->lost = lost < 0 ? 0 : saturated((uint32_t)lost);
    quality->sequence = fr_rtp_sequence(sample->packet);
    quality->rtp_at = (uint16_t)(sample->rtp_up - surplus);
}

void fr_quality_sample(struct fr_quality *quality, const struct fr_rtp_sample *sample, struct fr_counters *counters)
{
    int16_t ahead = (int16_t)(fr_rtp_sequence(sample->packet) - quality->sequence);
    int16_t missing = (int16_t)(ahead - (sample->rtp_up - quality->rtp_at));
    bool is_late = ahead <= 0 && ahead >= -FR_RTP_MISORDER;

    if (!(quality->state & FR_QUALITY_MEDIA)) {
        if (quality->state & FR_QUALITY_TIMED)
            take_setup(quality, sample, counters);
        quality->state |= FR_QUALITY_MEDIA;
        follow(quality, sample);
        return;
    }
    if (fr_rtp_ssrc_tag(sample->packet) != quality->ssrc_tag || ahead < -FR_RTP_MISORDER
        || (!is_late && (missing > FR_RTP_DROPOUT || missing < -FR_RTP_DROPOUT))) {
        /* one stray packet changes nothing and counts for nothing; a second in a row is a new stream */
        if (quality->state & FR_QUALITY_STRAYED) {
            follow(quality, sample);
        } else {
            quality->state |= FR_QUALITY_STRAYED;
            quality->rtp_at++;
        }
        return;
    }
    quality->state &= (uint8_t)~FR_QUALITY_STRAYED;
    take_jitter(quality, sample);
    if (!is_late)
        take_loss(quality, sample, missing);
    else if (ahead < 0 && quality->reordered != UINT8_MAX)
        quality->reordered++;
}

void fr_quality_end(const struct fr_quality *quality, uint32_t packets_up, struct fr_counters *counters)
{
    uint64_t rtp = fr_quality_rtp(quality, packets_up);

    if (rtp < FR_CALL_PACKETS_MIN || !(quality->state & FR_QUALITY_MEDIA))
        return;
    counters->call_loss[fr_histogram_bucket(10000u * quality->lost / (rtp + quality->lost))]++;
    counters->call_jitter_us[fr_histogram_bucket((uint64_t)quality->jitter * JITTER_US)]++;
}
