/* One call's SRTP. See srtp.h. */
#include "media/srtp.h"

#include <errno.h>

/* srtp_err_status_t of libsrtp 2 */
enum {
    STATUS_OK = 0,
    STATUS_AUTH_FAIL = 7,
    STATUS_REPLAY_FAIL = 9,
    STATUS_REPLAY_OLD = 10,
    STATUS_CANT_CHECK = 14, /* SRTCP that says it is not encrypted */
    STATUS_PARSE_ERR = 21,
    STATUS_PKT_IDX_OLD = 26
};

static enum fr_srtp_verdict verdict_of(int status)
{
    switch (status) {
    case STATUS_OK:
        return FR_SRTP_OPENED;
    case STATUS_AUTH_FAIL:
    case STATUS_CANT_CHECK:
        return FR_SRTP_FORGED;
    case STATUS_REPLAY_FAIL:
        return FR_SRTP_REPLAYED;
    case STATUS_REPLAY_OLD:
    case STATUS_PKT_IDX_OLD:
        return FR_SRTP_TOO_OLD;
    case STATUS_PARSE_ERR:
        return FR_SRTP_MALFORMED;
    default:
        return FR_SRTP_FAILED;
    }
}

static bool knows_stream(const struct fr_srtp_inbound *inbound, uint32_t ssrc)
{
    for (uint32_t at = 0; at < inbound->stream_count; at++)
        if (inbound->streams[at] == ssrc)
            return true;
    return false;
}

static bool has_room(const struct fr_srtp_inbound *inbound, uint32_t ssrc)
{
    return inbound->stream_count < FR_SRTP_STREAMS || knows_stream(inbound, ssrc);
}

/* libsrtp has made a context for this SSRC if it had none: only what is authenticated takes room. */
static void note_stream(struct fr_srtp_inbound *inbound, uint32_t ssrc)
{
    if (!knows_stream(inbound, ssrc))
        inbound->streams[inbound->stream_count++] = ssrc;
}

/* Counts what is authenticated; the statistics follow the SSRC that carries a negotiated payload. */
static enum fr_srtp_verdict count(struct fr_srtp_inbound *inbound, const uint8_t *packet, size_t length,
                                  uint64_t now_us, struct fr_srtp_opened *opened)
{
    const struct fr_rtp_header *header = &opened->header;
    struct fr_reception *reception = &inbound->reception;
    bool is_negotiated = inbound->payload_types[header->payload_type >> 6] >> (header->payload_type & 63) & 1;
    int payload_length;

    if (reception->packets == 0 || reception->ssrc != header->ssrc) {
        if (!is_negotiated)
            return FR_SRTP_UNKNOWN_PAYLOAD;
        fr_reception_begin(reception, header->ssrc);
    }
    opened->extended_sequence = fr_reception_count(reception, header->sequence, header->timestamp,
                                                   (uint32_t)(length - header->length), now_us);
    if (!is_negotiated)
        return FR_SRTP_UNKNOWN_PAYLOAD;
    payload_length = fr_rtp_payload_length(header, packet, length);
    if (payload_length <= 0)
        return payload_length ? FR_SRTP_MALFORMED : FR_SRTP_EMPTY;
    opened->payload_length = (uint32_t)payload_length;
    return FR_SRTP_OPENED;
}

enum fr_srtp_verdict fr_srtp_open(struct fr_srtp_inbound *inbound, const struct fr_srtp_calls *calls, uint8_t *packet,
                                  size_t length, uint64_t now_us, struct fr_srtp_opened *opened)
{
    enum fr_srtp_verdict verdict;
    int opened_length = (int)length;

    if (fr_rtp_parse_header(&opened->header, packet, length) || length < opened->header.length + inbound->tag_length)
        return FR_SRTP_MALFORMED;
    if (!has_room(inbound, opened->header.ssrc))
        return FR_SRTP_UNKNOWN_STREAM;
    verdict = verdict_of(calls->unprotect(inbound->context, packet, &opened_length));
    if (verdict != FR_SRTP_OPENED)
        return verdict;
    note_stream(inbound, opened->header.ssrc);
    if (opened_length < opened->header.length || opened_length > (int)length)
        return FR_SRTP_FAILED; /* not libsrtp as we know it: its length is not to be trusted */
    return count(inbound, packet, (size_t)opened_length, now_us, opened);
}

enum fr_srtp_verdict fr_srtp_open_rtcp(struct fr_srtp_inbound *inbound, const struct fr_srtp_calls *calls,
                                       uint8_t *packet, int *length)
{
    enum fr_srtp_verdict verdict;
    uint32_t ssrc;

    if (*length < (int)(FR_RTCP_HEADER + FR_SRTCP_INDEX + inbound->tag_length) || *length > FR_RTP_PACKET_MAX ||
        packet[0] >> 6 != 2)
        return FR_SRTP_MALFORMED;
    ssrc = (uint32_t)packet[4] << 24 | (uint32_t)packet[5] << 16 | (uint32_t)packet[6] << 8 | packet[7];
    if (!has_room(inbound, ssrc))
        return FR_SRTP_UNKNOWN_STREAM;
    verdict = verdict_of(calls->unprotect_rtcp(inbound->context, packet, length));
    if (verdict == FR_SRTP_OPENED)
        note_stream(inbound, ssrc);
    return verdict;
}

int fr_srtp_seal(struct fr_srtp_outbound *outbound, const struct fr_srtp_calls *calls, uint8_t *packet,
                 size_t payload_length, uint32_t timestamp, bool is_marked)
{
    int length = (int)(FR_RTP_HEADER + payload_length);
    int sealed_length = length + (int)outbound->tag_length;

    outbound->next.is_marked = is_marked;
    outbound->next.timestamp = timestamp;
    fr_rtp_build_header(packet, &outbound->next);
    if (calls->protect(outbound->context, packet, &length) || length != sealed_length)
        return -EPROTO;
    outbound->next.sequence++;
    outbound->packets++;
    outbound->octets += payload_length;
    return 0;
}
