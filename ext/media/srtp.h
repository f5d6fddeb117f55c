/* One call's SRTP (RFC 3711, RFC 7714), on libsrtp's functions as they are found at run time.
 *
 * Lives here: what is checked in which order on packets in and out, and what is counted. Its readable twin is
 * fastrelay/transceiver/srtp_session.py.
 * Must not live here: making of contexts and keys, which are libsrtp's own, memory of packets, batches.
 *
 * A context, and so a stream, belongs to one thread.
 */
#ifndef FR_MEDIA_SRTP_H
#define FR_MEDIA_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/reception.h"
#include "media/rtp.h"

/* SSRCs of one peer in a call. libsrtp keeps a context for each, and scans them: a call needs one or two. */
#define FR_SRTP_STREAMS 16
/* bytes that sealing adds at most: the tag of AEAD_AES_128_GCM */
#define FR_SRTP_TAG_MAX 16
/* bytes that SRTCP adds besides (RFC 3711 §3.4) */
#define FR_SRTCP_INDEX 4
#define FR_RTCP_HEADER 8

/* How a packet ends. The names and the order are those of SrtpRefusal in fastrelay/wire/rtp.py, where what each
 * means is said; the first is no refusal. */
enum fr_srtp_verdict {
    FR_SRTP_OPENED,
    FR_SRTP_MALFORMED,
    FR_SRTP_FORGED,
    FR_SRTP_REPLAYED,
    FR_SRTP_TOO_OLD,
    FR_SRTP_UNKNOWN_STREAM,
    FR_SRTP_UNKNOWN_PAYLOAD,
    FR_SRTP_EMPTY,
    FR_SRTP_FAILED,
    FR_SRTP_VERDICTS
};

/* libsrtp's srtp_protect and its three sisters: 0, or an srtp_err_status_t. Works in place and updates the length. */
typedef int fr_srtp_call(void *context, void *packet, int *length);

struct fr_srtp_calls {
    fr_srtp_call *protect, *protect_rtcp, *unprotect, *unprotect_rtcp;
};

/* All zero but context and tag_length takes no payload type yet. */
struct fr_srtp_inbound {
    void *context;            /* srtp_t; borrowed, outlives this */
    uint64_t payload_types[2]; /* bit set of those negotiated */
    uint32_t streams[FR_SRTP_STREAMS];
    uint32_t stream_count;
    uint32_t tag_length;
    struct fr_reception reception; /* of the SSRC heard last */
};

struct fr_srtp_outbound {
    void *context; /* srtp_t; borrowed, outlives this */
    uint64_t packets;
    uint64_t octets;
    struct fr_rtp_header next; /* of the packet to come, but for timestamp and marker */
    uint32_t tag_length;
};

struct fr_srtp_opened {
    uint64_t extended_sequence;
    struct fr_rtp_header header;
    uint32_t payload_length; /* begins at header.length in the packet, opened in place */
};

/* Opens a packet in place and counts it. `opened` is filled in for FR_SRTP_OPENED alone. */
enum fr_srtp_verdict fr_srtp_open(struct fr_srtp_inbound *inbound, const struct fr_srtp_calls *calls, uint8_t *packet,
                                  size_t length, uint64_t now_us, struct fr_srtp_opened *opened);

/* Opens an SRTCP packet in place; `length` becomes the compound's. */
enum fr_srtp_verdict fr_srtp_open_rtcp(struct fr_srtp_inbound *inbound, const struct fr_srtp_calls *calls,
                                       uint8_t *packet, int *length);

/* Writes the header before the payload that lies at packet + FR_RTP_HEADER, seals in place, and counts. The packet has
 * room for the tag. 0, or -EPROTO when libsrtp fails: then nothing is counted. */
int fr_srtp_seal(struct fr_srtp_outbound *outbound, const struct fr_srtp_calls *calls, uint8_t *packet,
                 size_t payload_length, uint32_t timestamp, bool is_marked);

#endif
