/* A writer for trunk tests, and its datagrams as they would stand on the wire: heap buffers of their exact size. */
#ifndef FR_TEST_TRUNK_WIRE_H
#define FR_TEST_TRUNK_WIRE_H

#include <arpa/inet.h>

#include "check.h"
#include "trunk/bundle.h"

static struct fr_cmac_key key;
static struct fr_writer writer;
static uint64_t sequence;
static uint8_t payload[FR_CLIENT_DATAGRAM_MAX];

static inline struct fr_address v4(unsigned host)
{
    return fr_address_v4(htonl(0xc0000200u + host), htons((uint16_t)(50000 + host)));
}

/* Odd hosts are global, even ones link-local with a scope. */
static inline struct fr_address v6(unsigned host)
{
    const uint8_t global[2] = {0x20, 0x01}, link_local[2] = {0xfe, 0x80};
    uint8_t bytes[16] = {[14] = (uint8_t)(host >> 8), [15] = (uint8_t)host};
    struct fr_address address = {.scope = host % 2 ? 0 : 3, .port_be = htons((uint16_t)(40000 + host))};
    memcpy(bytes, host % 2 ? global : link_local, 2);
    memcpy(&address.high, bytes, 8);
    memcpy(&address.low, bytes + 8, 8);
    return address;
}

static inline void begin(void)
{
    static const struct fr_burst_head head = { /* borrowed until the writer's end */
        .mac_key = &key, .epoch_us = 0x0102030405060708u, .sequence = &sequence, .via = 513, .key_id = 9,
        .kind = FR_BUNDLE_UP,
    };
    fr_writer_begin(&writer, &head);
}

static inline void begin_anew(void)
{
    fr_writer_reset(&writer);
    begin();
}

static inline void add_many(unsigned count, const struct fr_address *client, uint32_t length)
{
    for (unsigned i = 0; i < count; i++)
        fr_writer_add(&writer, client, payload, length, 0);
}

/* A datagram of the writer as it would stand on the wire, in a heap buffer of its exact size. */
static inline uint8_t *on_wire(unsigned at, size_t *length)
{
    const struct fr_datagram *datagram = &writer.datagrams[at];
    uint8_t *bytes;
    *length = 0;
    for (unsigned i = 0; i < datagram->iovec_count; i++)
        *length += writer.iovecs[datagram->first_iovec + i].iov_len;
    bytes = malloc(*length);
    if (!bytes)
        exit(2);
    for (unsigned i = 0, copied = 0; i < datagram->iovec_count; i++) {
        const struct iovec *iovec = &writer.iovecs[datagram->first_iovec + i];
        if (iovec->iov_len)
            memcpy(bytes + copied, iovec->iov_base, iovec->iov_len);
        copied += iovec->iov_len;
    }
    return bytes;
}

/* All checks of one datagram: the frame count, or minus the refusing verdict. */
static inline int read_all(const uint8_t *bytes, size_t length, struct fr_frame frames[FR_BUNDLE_FRAMES])
{
    struct fr_trunk_header header;
    int refusal = fr_trunk_read_header(bytes, length, &header);
    if (!refusal)
        refusal = fr_trunk_check_mac(bytes, length, &header, &key);
    if (!refusal)
        refusal = fr_trunk_read_frames(bytes, length, &header, frames);
    return refusal ? -refusal : header.frame_count;
}

static inline unsigned frames_of(unsigned at)
{
    struct fr_frame frames[FR_BUNDLE_FRAMES];
    size_t length;
    uint8_t *bytes = on_wire(at, &length);
    int count = read_all(bytes, length, frames);
    free(bytes);
    CHECK(count > 0);
    return count > 0 ? (unsigned)count : 0;
}

static inline void open_wire(void)
{
    fr_cmac_open(&key, (const uint8_t *)"a trunk mac key", FR_CMAC_FASTEST);
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(0x80 + i % 97);
}

#endif
