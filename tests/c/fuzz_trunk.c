/* Any datagram gets a verdict without a byte read beyond it; what is accepted is written and read again the same.
 *
 * The first byte picks the mode. Even: the bytes are a datagram as they stand. Odd: the header's version, the covered
 * bytes and the MAC are put right first, because no fuzzer guesses a MAC. */
#include "trunk/bundle.h"

#include <stdlib.h>

#include "verdict.h"

static struct fr_cmac_key key;
static struct fr_writer writer;

static void must(bool claim)
{
    if (!claim)
        abort();
}

/* One datagram of the writer, in a heap buffer of its exact size. */
static uint8_t *on_wire(const struct fr_datagram *datagram, size_t *length)
{
    uint8_t *bytes;
    *length = 0;
    for (unsigned i = 0; i < datagram->iovec_count; i++)
        *length += writer.iovecs[datagram->first_iovec + i].iov_len;
    bytes = malloc(*length);
    must(bytes != NULL);
    for (size_t i = 0, copied = 0; i < datagram->iovec_count; i++) {
        const struct iovec *iovec = &writer.iovecs[datagram->first_iovec + i];
        if (iovec->iov_len)
            memcpy(bytes + copied, iovec->iov_base, iovec->iov_len);
        copied += iovec->iov_len;
    }
    return bytes;
}

static unsigned read_again(const struct fr_datagram *datagram, const struct fr_frame *expected)
{
    struct fr_frame frames[FR_BUNDLE_FRAMES];
    struct fr_trunk_header header;
    size_t length;
    uint8_t *bytes = on_wire(datagram, &length);
    must(fr_trunk_read_header(bytes, length, &header) == 0);
    must(fr_trunk_check_mac(bytes, length, &header, &key) == 0);
    must(fr_trunk_read_frames(bytes, length, &header, frames) == 0);
    for (unsigned i = 0; i < header.frame_count; i++) {
        must(fr_address_equal(&frames[i].client, &expected[i].client));
        must(frames[i].length == expected[i].length && frames[i].flags == expected[i].flags);
        must(memcmp(frames[i].payload, expected[i].payload, frames[i].length) == 0);
    }
    free(bytes);
    return header.frame_count;
}

static void write_and_read_again(const struct fr_trunk_header *header, const struct fr_frame *frames)
{
    uint64_t sequence = header->sequence;
    unsigned read = 0;
    const struct fr_burst_head head = {
        .mac_key = &key, .epoch_us = header->epoch_us, .sequence = &sequence, .via = header->via,
        .key_id = header->key_id, .kind = header->kind,
    };
    fr_writer_reset(&writer);
    fr_writer_begin(&writer, &head);
    for (unsigned i = 0; i < header->frame_count; i++)
        fr_writer_add(&writer, &frames[i].client, frames[i].payload, frames[i].length, frames[i].flags);
    fr_writer_end(&writer);
    for (unsigned at = 0; at < writer.datagram_count; at++)
        read += read_again(&writer.datagrams[at], frames + read);
    must(read == header->frame_count && sequence == header->sequence + writer.datagram_count);
}

static void check_hello(const uint8_t *datagram, const struct fr_trunk_header *header)
{
    uint8_t again[FR_TRUNK_HEADER + FR_HELLO_BODY];
    struct fr_hello hello;
    int refusal = fr_trunk_read_hello(datagram, header, &hello);
    must(refusal == 0 || refusal == FR_TRUNK_MALFORMED);
    if (refusal)
        return;
    fr_trunk_write_hello(again, header, &hello, &key);
    must(memcmp(again, datagram, sizeof again) == 0);
}

static void check_bundle(const uint8_t *datagram, size_t length, const struct fr_trunk_header *header)
{
    struct fr_frame frames[FR_BUNDLE_FRAMES];
    const uint8_t *end = datagram + FR_TRUNK_HEADER + header->covered_bytes;
    int refusal = fr_trunk_read_frames(datagram, length, header, frames);
    must(refusal == 0 || refusal == FR_TRUNK_TRUNCATED || refusal == FR_TRUNK_MALFORMED);
    if (refusal)
        return;
    for (unsigned i = 0; i < header->frame_count; i++) {
        must(frames[i].payload == end && frames[i].length <= FR_CLIENT_DATAGRAM_MAX);
        end += frames[i].length;
    }
    must(end <= datagram + length);
    write_and_read_again(header, frames);
}

static void read_one(const uint8_t *datagram, size_t length)
{
    struct fr_trunk_header header;
    if (fr_trunk_read_header(datagram, length, &header) || fr_trunk_check_mac(datagram, length, &header, &key))
        return;
    if (header.kind == FR_HELLO_UP || header.kind == FR_HELLO_DOWN)
        check_hello(datagram, &header);
    else
        check_bundle(datagram, length, &header);
}

/* Keeps the kind and the counts as they came: they are what the readers must survive. */
static void put_right(uint8_t *datagram, size_t length)
{
    size_t room = length - FR_TRUNK_HEADER, covered_bytes = datagram[6] << 8 | datagram[7];
    if (covered_bytes > room)
        covered_bytes = room;
    datagram[0] = (uint8_t)(FR_TRUNK_VERSION << 4 | (1 + (datagram[0] + 3) % 4));
    datagram[6] = (uint8_t)(covered_bytes >> 8);
    datagram[7] = (uint8_t)covered_bytes;
    uint64_t mac = fr_cmac_carried(&key, datagram, FR_TRUNK_HEADER + covered_bytes);
    memcpy(datagram + FR_TRUNK_MAC_AT, &mac, 8);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fr_cmac_open(&key, (const uint8_t *)"trunk fuzz key.", FR_CMAC_FASTEST);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t length = size - 1;
    uint8_t *datagram = malloc(length);
    must(datagram != NULL);
    memcpy(datagram, data + 1, length);
    if (data[0] & 1 && length >= FR_TRUNK_HEADER)
        put_right(datagram, length);
    read_one(datagram, length);
    free(datagram);
    return 0;
}
