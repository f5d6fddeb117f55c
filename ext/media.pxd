# cython: language_level=3
# What Cython knows of the C parts that a transceiver's media goes through: RTP, reception statistics, SRTP. Extern
# declarations, nothing else.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "media/rtp.h" nogil:
    enum: FR_RTP_HEADER
    enum: FR_RTP_PACKET_MAX
    struct fr_rtp_header:
        uint32_t timestamp
        uint32_t ssrc
        uint16_t sequence
        uint16_t length
        uint8_t payload_type
        bint is_marked


cdef extern from "media/reception.h" nogil:
    enum: FR_RECEPTION_HISTORY
    struct fr_reception:
        uint64_t packets
        uint64_t octets
        uint64_t first
        uint64_t highest
        uint32_t ssrc
    uint64_t fr_reception_expected(const fr_reception *reception)
    uint64_t fr_reception_lost(const fr_reception *reception)
    uint32_t fr_reception_jitter(const fr_reception *reception)
    int fr_reception_missing(const fr_reception *reception, uint16_t *missing)


cdef extern from "media/srtp.h" nogil:
    enum: FR_SRTP_STREAMS
    enum: FR_SRTCP_INDEX
    enum: FR_SRTP_TAG_MAX
    enum: FR_RTCP_HEADER
    enum: FR_SRTP_OPENED
    enum: FR_SRTP_VERDICTS
    ctypedef int fr_srtp_call(void *context, void *packet, int *length)
    struct fr_srtp_calls:
        fr_srtp_call *protect
        fr_srtp_call *protect_rtcp
        fr_srtp_call *unprotect
        fr_srtp_call *unprotect_rtcp
    struct fr_srtp_inbound:
        void *context
        uint64_t[2] payload_types
        uint32_t tag_length
        fr_reception reception
    struct fr_srtp_outbound:
        void *context
        uint64_t packets
        uint64_t octets
        fr_rtp_header next
        uint32_t tag_length
    struct fr_srtp_opened:
        uint64_t extended_sequence
        fr_rtp_header header
        uint32_t payload_length
    int fr_srtp_open(fr_srtp_inbound *inbound, const fr_srtp_calls *calls, uint8_t *packet, size_t length,
                     uint64_t now_us, fr_srtp_opened *opened)
    int fr_srtp_open_rtcp(fr_srtp_inbound *inbound, const fr_srtp_calls *calls, uint8_t *packet, int *length)
    int fr_srtp_seal(fr_srtp_outbound *outbound, const fr_srtp_calls *calls, uint8_t *packet, size_t payload_length,
                     uint32_t timestamp, bint is_marked)
