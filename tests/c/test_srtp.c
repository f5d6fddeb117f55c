/* One call's SRTP over a stand-in for libsrtp: order of checks, statuses, what takes room, what is counted. */
#include "media/srtp.h"

#include <errno.h>

#include "check.h"
#include "stand_in_srtp.h"

enum { OPUS = 111, PAYLOAD = 10, SEALED = FR_RTP_HEADER + PAYLOAD + STAND_IN_TAG };

struct call {
    struct stand_in stand_in;
    struct fr_srtp_inbound inbound;
    struct fr_srtp_outbound outbound;
};

static void begin(struct call *call)
{
    memset(call, 0, sizeof *call);
    call->inbound.context = call->outbound.context = &call->stand_in;
    call->inbound.tag_length = call->outbound.tag_length = STAND_IN_TAG;
    call->inbound.payload_types[OPUS >> 6] = (uint64_t)1 << (OPUS & 63);
    call->outbound.next.payload_type = OPUS;
    call->outbound.next.ssrc = 7;
}

/* A sealed packet on the heap, of exact size; the caller frees it. */
static uint8_t *seal(struct call *call)
{
    uint8_t *packet = check_copy((const uint8_t[SEALED]){0}, SEALED);
    CHECK(fr_srtp_seal(&call->outbound, &stand_in_calls, packet, PAYLOAD, 960, false) == 0);
    return packet;
}

static enum fr_srtp_verdict open_and_free(struct call *call, uint8_t *packet, size_t length)
{
    struct fr_srtp_opened opened;
    enum fr_srtp_verdict verdict = fr_srtp_open(&call->inbound, &stand_in_calls, packet, length, 0, &opened);

    if (verdict == FR_SRTP_OPENED)
        CHECK(opened.header.length + opened.payload_length + STAND_IN_TAG <= length);
    free(packet);
    return verdict;
}

static void what_is_sealed_opens(void)
{
    struct call call;
    begin(&call);
    call.outbound.next.sequence = 0xffff;
    for (int at = 0; at < 3; at++)
        CHECK(open_and_free(&call, seal(&call), SEALED) == FR_SRTP_OPENED);
    CHECK(call.inbound.reception.packets == 3 && call.inbound.reception.highest == 0x10001);
    CHECK(call.outbound.packets == 3 && call.outbound.octets == 3 * PAYLOAD && call.outbound.next.sequence == 2);
}

static void what_is_too_short_never_reaches_libsrtp(void)
{
    struct call call;
    begin(&call);
    for (size_t length = 0; length < FR_RTP_HEADER + STAND_IN_TAG; length++) {
        uint8_t *packet = check_copy("\x80\x6f          \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", length);
        CHECK(open_and_free(&call, packet, length) == FR_SRTP_MALFORMED);
    }
    CHECK(call.stand_in.calls == 0);
}

static void every_status_has_a_verdict(void)
{
    struct call call;
    begin(&call);
    for (int status = 1; status < 40; status++) {
        enum fr_srtp_verdict expected = status == 7 || status == 14  ? FR_SRTP_FORGED
                                        : status == 9                ? FR_SRTP_REPLAYED
                                        : status == 10 || status == 26 ? FR_SRTP_TOO_OLD
                                        : status == 21               ? FR_SRTP_MALFORMED
                                                                     : FR_SRTP_FAILED;
        call.stand_in.status = 0;
        uint8_t *packet = seal(&call);
        call.stand_in.status = status;
        CHECK(open_and_free(&call, packet, SEALED) == expected);
    }
    CHECK(call.inbound.reception.packets == 0 && call.inbound.stream_count == 0);
}

static void only_authenticated_ssrcs_take_room_and_so_many(void)
{
    struct call call;
    begin(&call);
    for (uint32_t ssrc = 0; ssrc < 2 * FR_SRTP_STREAMS; ssrc++) {
        call.outbound.next.ssrc = ssrc;
        uint8_t *forged = seal(&call);
        forged[SEALED - 1] ^= 1;
        CHECK(open_and_free(&call, forged, SEALED) == (ssrc < FR_SRTP_STREAMS ? FR_SRTP_FORGED : FR_SRTP_UNKNOWN_STREAM));
        CHECK(open_and_free(&call, seal(&call), SEALED) ==
              (ssrc < FR_SRTP_STREAMS ? FR_SRTP_OPENED : FR_SRTP_UNKNOWN_STREAM));
    }
    CHECK(call.inbound.stream_count == FR_SRTP_STREAMS);
}

static void a_length_that_libsrtp_cannot_mean_is_not_believed(void)
{
    struct call call;
    begin(&call);
    call.stand_in.reads_far = STAND_IN_TAG + 1;
    CHECK(open_and_free(&call, seal(&call), SEALED) == FR_SRTP_FAILED);
    call.stand_in.reads_far = -PAYLOAD - 1;
    CHECK(open_and_free(&call, seal(&call), SEALED) == FR_SRTP_FAILED);
    call.stand_in.reads_far = -PAYLOAD;
    CHECK(open_and_free(&call, seal(&call), SEALED) == FR_SRTP_EMPTY);
}

static void what_fails_to_seal_is_not_counted(void)
{
    struct call call;
    uint8_t packet[SEALED] = {0};
    begin(&call);
    call.stand_in.status = 1;
    CHECK(fr_srtp_seal(&call.outbound, &stand_in_calls, packet, PAYLOAD, 0, true) == -EPROTO);
    call.stand_in.status = 0;
    call.outbound.tag_length = 10; /* not what the stand-in adds */
    CHECK(fr_srtp_seal(&call.outbound, &stand_in_calls, packet, PAYLOAD, 0, true) == -EPROTO);
    CHECK(call.outbound.packets == 0 && call.outbound.next.sequence == 0);
}

static void rtcp_has_a_least_and_a_greatest_length(void)
{
    struct call call;
    begin(&call);
    for (int length = 0; length < FR_RTP_PACKET_MAX + 4; length++) {
        uint8_t *packet = check_copy((const uint8_t[FR_RTP_PACKET_MAX + 4]){0x80, 201}, (size_t)length);
        int opened = length, body = length - STAND_IN_TAG;
        if (body > 0)
            memset(packet + body, stand_in_tag(packet, body), STAND_IN_TAG);
        bool fits = length >= FR_RTCP_HEADER + FR_SRTCP_INDEX + STAND_IN_TAG && length <= FR_RTP_PACKET_MAX;
        CHECK(fr_srtp_open_rtcp(&call.inbound, &stand_in_calls, packet, &opened) ==
              (fits ? FR_SRTP_OPENED : FR_SRTP_MALFORMED));
        free(packet);
    }
    CHECK(call.inbound.stream_count == 1);
}

int main(void)
{
    what_is_sealed_opens();
    what_is_too_short_never_reaches_libsrtp();
    every_status_has_a_verdict();
    only_authenticated_ssrcs_take_room_and_so_many();
    a_length_that_libsrtp_cannot_mean_is_not_believed();
    what_fails_to_seal_is_not_counted();
    rtcp_has_a_least_and_a_greatest_length();
    return check_result();
}
