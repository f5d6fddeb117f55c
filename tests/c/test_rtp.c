/* RTP's header: what a packet can announce and hold, padding, roll-overs against a naive model. */
#include "media/rtp.h"

#include <errno.h>

#include "check.h"

static const uint8_t plain[] = {0x80, 0xef, 0xff, 0xfe, 1, 2, 3, 4, 0xca, 0xfe, 0xba, 0xbe, 'a', 'b'};

static int parse_copy(struct fr_rtp_header *header, const uint8_t *packet, size_t length)
{
    uint8_t *copy = check_copy(packet, length);
    int failed = fr_rtp_parse_header(header, copy, length);
    free(copy);
    return failed;
}

static int payload_of_copy(const uint8_t *packet, size_t length)
{
    struct fr_rtp_header header;
    uint8_t *copy = check_copy(packet, length);
    int payload = fr_rtp_parse_header(&header, copy, length) ? -1000 : fr_rtp_payload_length(&header, copy, length);
    free(copy);
    return payload;
}

static void a_header_is_read_and_written_the_same(void)
{
    struct fr_rtp_header header;
    uint8_t written[FR_RTP_HEADER];

    CHECK(parse_copy(&header, plain, sizeof plain) == 0);
    CHECK(header.payload_type == 111 && header.is_marked && !header.is_padded);
    CHECK(header.sequence == 0xfffe && header.timestamp == 0x01020304 && header.ssrc == 0xcafebabe);
    CHECK(header.length == FR_RTP_HEADER);
    fr_rtp_build_header(written, &header);
    CHECK(memcmp(written, plain, FR_RTP_HEADER) == 0);
}

static void every_length_of_a_packet_with_all_parts_is_told(void)
{
    /* two sources, an extension of one word, three bytes of payload */
    uint8_t packet[FR_RTP_HEADER + 8 + 4 + 4 + 3] = {0x92};
    struct fr_rtp_header header;

    packet[FR_RTP_HEADER + 8 + 3] = 1;
    for (size_t length = 0; length <= sizeof packet; length++)
        CHECK((parse_copy(&header, packet, length) == 0) == (length >= FR_RTP_HEADER + 16));
    CHECK(header.length == FR_RTP_HEADER + 16);
    CHECK(payload_of_copy(packet, sizeof packet) == 3);
}

static void only_version_two_up_to_an_ethernet_frame_is_rtp(void)
{
    static uint8_t large[FR_RTP_PACKET_MAX + 1];
    struct fr_rtp_header header;

    for (unsigned version = 0; version < 4; version++) {
        large[0] = (uint8_t)(version << 6);
        CHECK((parse_copy(&header, large, FR_RTP_PACKET_MAX) == 0) == (version == 2));
    }
    large[0] = 0x80;
    CHECK(parse_copy(&header, large, FR_RTP_PACKET_MAX + 1) == -EBADMSG);
}

static void padding_is_at_least_one_byte_and_at_most_the_payload(void)
{
    uint8_t packet[FR_RTP_HEADER + 4] = {0xa0};

    for (unsigned padding = 0; padding < 256; padding++) {
        packet[sizeof packet - 1] = (uint8_t)padding;
        CHECK(payload_of_copy(packet, sizeof packet) == (padding >= 1 && padding <= 4 ? 4 - (int)padding : -EBADMSG));
    }
    CHECK(payload_of_copy(packet, FR_RTP_HEADER) == -EBADMSG);
    packet[0] = 0x80;
    CHECK(payload_of_copy(packet, FR_RTP_HEADER) == 0);
}

static void sequence_numbers_are_extended_to_the_nearest(void)
{
    const uint64_t highest[] = {0x8001, 0xffff, 0x10000, 0x10001, 0x17fff, 0x18000, 0x18001, 0x1ffff, 0xffff00001234};

    for (size_t at = 0; at < sizeof highest / sizeof *highest; at++)
        for (int64_t away = -0x7fff; away <= 0x7fff; away += 7) {
            uint64_t sequence = highest[at] + (uint64_t)away;
            CHECK(fr_rtp_extend_sequence((uint16_t)sequence, highest[at]) == sequence);
        }
}

static void nothing_lies_before_the_first_roll_over(void)
{
    CHECK(fr_rtp_extend_sequence(0xfff0, 5) == 0xfff0);
    CHECK(fr_rtp_extend_sequence(0xffff, 0x8000) == 0xffff);
    CHECK(fr_rtp_extend_sequence(0, 0x8000) == 0);
    CHECK(fr_rtp_extend_sequence(0, 0x8001) == 0x10000);
}

int main(void)
{
    a_header_is_read_and_written_the_same();
    every_length_of_a_packet_with_all_parts_is_told();
    only_version_two_up_to_an_ethernet_frame_is_rtp();
    padding_is_at_least_one_byte_and_at_most_the_payload();
    sequence_numbers_are_extended_to_the_nearest();
    nothing_lies_before_the_first_roll_over();
    return check_result();
}
