/* RTP's fixed header. See rtp.h. */
#include "media/rtp.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define SEQUENCE_MEDIAN 0x8000u

static uint16_t read_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t read_32(const uint8_t *at)
{
    return (uint32_t)read_16(at) << 16 | read_16(at + 2);
}

int fr_rtp_parse_header(struct fr_rtp_header *header, const uint8_t *packet, size_t length)
{
    size_t header_length;

    if (length < FR_RTP_HEADER || length > FR_RTP_PACKET_MAX || packet[0] >> 6 != 2)
        return -EBADMSG;
    header_length = FR_RTP_HEADER + 4u * (packet[0] & 0x0f);
    if (packet[0] & 0x10) {
        if (length < header_length + 4)
            return -EBADMSG;
        header_length += 4 + 4u * read_16(packet + header_length + 2);
    }
    if (length < header_length)
        return -EBADMSG;
    header->length = (uint16_t)header_length;
    header->is_padded = packet[0] & 0x20;
    header->is_marked = packet[1] & 0x80;
    header->payload_type = packet[1] & 0x7f;
    header->sequence = read_16(packet + 2);
    header->timestamp = read_32(packet + 4);
    header->ssrc = read_32(packet + 8);
    return 0;
}

int fr_rtp_payload_length(const struct fr_rtp_header *header, const uint8_t *packet, size_t length)
{
    size_t payload, padding;

    if (length < header->length)
        return -EBADMSG;
    payload = length - header->length;
    if (!header->is_padded)
        return (int)payload;
    padding = payload ? packet[length - 1] : 0;
    if (padding == 0 || padding > payload)
        return -EBADMSG;
    return (int)(payload - padding);
}

void fr_rtp_build_header(uint8_t *packet, const struct fr_rtp_header *header)
{
    uint16_t sequence_be = htobe16(header->sequence);
    uint32_t timestamp_be = htobe32(header->timestamp), ssrc_be = htobe32(header->ssrc);

    packet[0] = 0x80;
    packet[1] = (uint8_t)(header->payload_type | (header->is_marked ? 0x80 : 0));
    memcpy(packet + 2, &sequence_be, 2);
    memcpy(packet + 4, &timestamp_be, 4);
    memcpy(packet + 8, &ssrc_be, 4);
}

uint64_t fr_rtp_extend_sequence(uint16_t sequence, uint64_t highest)
{
    uint64_t counter = highest >> 16;
    uint32_t low = highest & 0xffff;

    if (highest <= SEQUENCE_MEDIAN)
        return sequence;
    if (low < SEQUENCE_MEDIAN) {
        if (sequence > low + SEQUENCE_MEDIAN)
            counter--;
    } else if (low - SEQUENCE_MEDIAN > sequence) {
        counter++;
    }
    return counter << 16 | sequence;
}
