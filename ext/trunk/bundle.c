/* The trunk's datagrams: reading and writing them. See bundle.h; docs/trunk.md is the specification. */
#include "trunk/bundle.h"

#include <endian.h>
#include <string.h>

#include "verdict.h"

static uint16_t load16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, 2);
    return be16toh(value);
}

static uint32_t load32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, 4);
    return be32toh(value);
}

static uint64_t load64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, 8);
    return be64toh(value);
}

static void store16(uint8_t *bytes, uint16_t value)
{
    value = htobe16(value);
    memcpy(bytes, &value, 2);
}

static void store32(uint8_t *bytes, uint32_t value)
{
    value = htobe32(value);
    memcpy(bytes, &value, 4);
}

static void store64(uint8_t *bytes, uint64_t value)
{
    value = htobe64(value);
    memcpy(bytes, &value, 8);
}

/* --- reading -------------------------------------------------------------- */

int fr_trunk_read_header(const uint8_t *datagram, size_t length, struct fr_trunk_header *header)
{
    if (length < FR_TRUNK_HEADER)
        return FR_TRUNK_TRUNCATED;
    header->kind = datagram[0] & 0x0f;
    header->key_id = datagram[1];
    header->frame_count = load16(datagram + 2);
    header->via = load16(datagram + 4);
    header->covered_bytes = load16(datagram + 6);
    header->epoch_us = load64(datagram + 8);
    header->sequence = load64(datagram + 16);
    if (datagram[0] >> 4 != FR_TRUNK_VERSION || header->kind < FR_BUNDLE_UP || header->kind > FR_HELLO_DOWN)
        return FR_TRUNK_MALFORMED;
    return 0;
}

_Static_assert(FR_TRUNK_MAC_AT == FR_CMAC_FIELD_AT && FR_TRUNK_HEADER == FR_CMAC_CARRIER_MIN, "cmac.h skips the MAC");

static uint64_t mac_of(const uint8_t *datagram, size_t covered_bytes, const struct fr_cmac_key *key)
{
    return fr_cmac_carried(key, datagram, FR_TRUNK_HEADER + covered_bytes);
}

int fr_trunk_check_mac(const uint8_t *datagram, size_t length, const struct fr_trunk_header *header,
                       const struct fr_cmac_key *key)
{
    if (header->covered_bytes > length - FR_TRUNK_HEADER)
        return FR_TRUNK_TRUNCATED;
    uint64_t sent, expected = mac_of(datagram, header->covered_bytes, key);
    memcpy(&sent, datagram + FR_TRUNK_MAC_AT, 8);
    /* one comparison of two registers: its time does not depend on where they differ */
    return sent == expected ? 0 : FR_TRUNK_BAD_MAC;
}

static inline void read_v4_client(const uint8_t *at, struct fr_address *client)
{
    uint16_t port_be;
    uint32_t address_be;

    memcpy(&port_be, at + 2, 2);
    memcpy(&address_be, at + 4, 4);
    *client = fr_address_v4(address_be, port_be);
}

static bool read_v6_client(const uint8_t *at, struct fr_address *client)
{
    client->scope = load32(at + 4);
    client->zero = 0;
    memcpy(&client->port_be, at + 2, 2);
    memcpy(&client->high, at + 8, 8);
    memcpy(&client->low, at + 16, 8);
    /* one address, one form: a v4-mapped client, or a scope where none belongs, would be a second name for it */
    return !fr_address_is_v4(client) && (!client->scope || fr_address_is_link_local(client));
}

/* An IPv6, empty or malformed frame header. Returns where the next one starts, NULL when it is malformed. */
static const uint8_t *read_rarer_header(const uint8_t *at, const uint8_t *headers_end, uint16_t word,
                                        struct fr_frame *frame)
{
    frame->length = word & FR_FRAME_LENGTH;
    frame->flags = word & FR_FRAME_CLOSE;
    if (frame->length > FR_CLIENT_DATAGRAM_MAX || (word & FR_FRAME_RESERVED) || (frame->flags && frame->length))
        return NULL;
    if (!(word & FR_FRAME_V6)) {
        read_v4_client(at, &frame->client);
        return at + FR_FRAME_HEADER_V4;
    }
    if (headers_end - at < FR_FRAME_HEADER_V6 || !read_v6_client(at, &frame->client))
        return NULL;
    return at + FR_FRAME_HEADER_V6;
}

int fr_trunk_read_frames(const uint8_t *datagram, size_t length, const struct fr_trunk_header *header,
                         struct fr_frame frames[FR_BUNDLE_FRAMES])
{
    const uint8_t *at = datagram + FR_TRUNK_HEADER, *headers_end = at + header->covered_bytes;
    const uint8_t *payload = headers_end;
    size_t room = length - FR_TRUNK_HEADER - header->covered_bytes;
    struct fr_frame *frame = frames, *frames_end = frames + header->frame_count;

    if (header->frame_count < 1 || header->frame_count > FR_BUNDLE_FRAMES)
        return FR_TRUNK_MALFORMED;
    for (; frame < frames_end; frame++) {
        if (headers_end - at < FR_FRAME_HEADER_V4)
            return FR_TRUNK_MALFORMED;
        uint16_t word = load16(at);
        /* no flag is set and the length is in bounds: the usual frame of an IPv4 client */
        if (__builtin_expect((uint16_t)(word - 1) < FR_CLIENT_DATAGRAM_MAX, 1)) {
            frame->length = word;
            frame->flags = 0;
            read_v4_client(at, &frame->client);
            at += FR_FRAME_HEADER_V4;
        } else if (!(at = read_rarer_header(at, headers_end, word, frame))) {
            return FR_TRUNK_MALFORMED;
        }
        frame->payload = payload;
        payload += frame->length;
    }
    if (at != headers_end)
        return FR_TRUNK_MALFORMED;
    /* last, because a malformed header comes before a cut payload; 64 lengths cannot overflow the sum */
    return (size_t)(payload - headers_end) > room ? FR_TRUNK_TRUNCATED : 0;
}

int fr_trunk_read_hello(const uint8_t *datagram, const struct fr_trunk_header *header, struct fr_hello *hello)
{
    const uint8_t *body = datagram + FR_TRUNK_HEADER;

    if (header->covered_bytes != FR_HELLO_BODY || header->frame_count)
        return FR_TRUNK_MALFORMED;
    hello->sent_at_us = load64(body);
    hello->echo_us = load64(body + 8);
    hello->echo_delay_us = load32(body + 16);
    hello->flags = load32(body + 20);
    hello->received = load64(body + 24);
    hello->lost = load64(body + 32);
    return 0;
}

/* --- writing -------------------------------------------------------------- */

/* The covered bytes must already stand behind the header: the MAC is made last. */
static void write_header(uint8_t *datagram, const struct fr_trunk_header *header, const struct fr_cmac_key *key)
{
    datagram[0] = FR_TRUNK_VERSION << 4 | header->kind;
    datagram[1] = header->key_id;
    store16(datagram + 2, header->frame_count);
    store16(datagram + 4, header->via);
    store16(datagram + 6, header->covered_bytes);
    store64(datagram + 8, header->epoch_us);
    store64(datagram + 16, header->sequence);
    uint64_t mac = mac_of(datagram, header->covered_bytes, key);
    memcpy(datagram + FR_TRUNK_MAC_AT, &mac, 8);
}

void fr_trunk_write_hello(uint8_t *datagram, const struct fr_trunk_header *header, const struct fr_hello *hello,
                          const struct fr_cmac_key *key)
{
    uint8_t *body = datagram + FR_TRUNK_HEADER;
    struct fr_trunk_header whole = *header;

    whole.frame_count = 0;
    whole.covered_bytes = FR_HELLO_BODY;
    store64(body, hello->sent_at_us);
    store64(body + 8, hello->echo_us);
    store32(body + 16, hello->echo_delay_us);
    store32(body + 20, hello->flags);
    store64(body + 24, hello->received);
    store64(body + 32, hello->lost);
    write_header(datagram, &whole, key);
}

static const uint8_t padding[FR_BUNDLE_BYTES];

void fr_writer_reset(struct fr_writer *writer)
{
    writer->iovec_count = 0;
    writer->datagram_count = 0;
    writer->burst_count = 0;
    writer->frame_count = 0;
    writer->covered = 0;
    writer->bytes = FR_BUNDLE_BYTES; /* none is open: the next frame does not fit, and so starts one */
    writer->arena_used = 0;
}

static void open_burst(struct fr_writer *writer)
{
    struct fr_burst *burst = &writer->bursts[writer->burst_count++];

    burst->first_datagram = writer->datagram_count;
    burst->datagram_count = 0;
    burst->segment_bytes = 0;
    writer->burst_bytes = 0;
}

void fr_writer_begin(struct fr_writer *writer, const struct fr_burst_head *head)
{
    writer->head = head;
    open_burst(writer);
}

static void open_datagram(struct fr_writer *writer)
{
    struct fr_datagram *datagram = &writer->datagrams[writer->datagram_count];

    datagram->first_iovec = writer->iovec_count++;
    writer->covered = 0;
    writer->bytes = FR_TRUNK_HEADER;
}

static void close_datagram(struct fr_writer *writer)
{
    struct fr_datagram *datagram = &writer->datagrams[writer->datagram_count++];
    struct fr_burst *burst = &writer->bursts[writer->burst_count - 1];
    const struct fr_burst_head *head = writer->head;
    uint8_t *at = writer->arena + writer->arena_used;
    struct fr_trunk_header header = {
        .kind = head->kind,
        .key_id = head->key_id,
        .frame_count = writer->frame_count,
        .via = head->via,
        .covered_bytes = writer->covered,
        .epoch_us = head->epoch_us,
        .sequence = ++*head->sequence,
    };

    write_header(at, &header, head->mac_key);
    writer->iovecs[datagram->first_iovec] = (struct iovec){at, FR_TRUNK_HEADER + writer->covered};
    writer->iovecs[writer->iovec_count++] = (struct iovec){(void *)padding, 0};
    writer->arena_used += FR_TRUNK_HEADER + writer->covered;
    writer->frame_count = 0;
    writer->covered = 0;

    datagram->iovec_count = writer->iovec_count - datagram->first_iovec;
    datagram->bytes = writer->bytes;
    burst->datagram_count++;
    if (writer->bytes > burst->segment_bytes)
        burst->segment_bytes = writer->bytes;
    writer->burst_bytes += FR_BUNDLE_BYTES;
    writer->bytes = FR_BUNDLE_BYTES;
}

/* UDP_SEGMENT cuts at one size: every datagram but the last is padded to the largest. */
static void close_burst(struct fr_writer *writer)
{
    struct fr_burst *burst = &writer->bursts[writer->burst_count - 1];

    if (!burst->datagram_count) {
        writer->burst_count--;
        return;
    }
    for (unsigned i = 0; i + 1u < burst->datagram_count; i++) {
        const struct fr_datagram *datagram = &writer->datagrams[burst->first_datagram + i];
        writer->iovecs[datagram->first_iovec + datagram->iovec_count - 1].iov_len
            = burst->segment_bytes - datagram->bytes;
    }
}

/* A datagram that alone passes the bundle size may need IP fragments, which UDP_SEGMENT cannot make. */
static void start_datagram(struct fr_writer *writer, uint32_t frame_bytes)
{
    const struct fr_burst *burst = &writer->bursts[writer->burst_count - 1];
    bool is_large = FR_TRUNK_HEADER + frame_bytes > FR_BUNDLE_BYTES;
    bool is_full = burst->datagram_count == FR_SEGMENTS || writer->burst_bytes + FR_BUNDLE_BYTES > FR_SEGMENTED_BYTES;

    if (burst->datagram_count && (is_full || is_large || burst->segment_bytes > FR_BUNDLE_BYTES)) {
        close_burst(writer);
        open_burst(writer);
    }
    open_datagram(writer);
}

/* Closes the open datagram, if there is one, and opens the next for a frame of this size. Kept out of line, so that
 * what adds frames keeps its registers. */
static __attribute__((noinline)) void turn_page(struct fr_writer *writer, uint32_t frame_bytes)
{
    if (writer->frame_count)
        close_datagram(writer);
    start_datagram(writer, frame_bytes);
}

/* Where the open datagram stands. In registers while a chain is added; the writer learns of it when a datagram is full. */
struct cursor {
    uint8_t *at; /* the next frame header */
    struct iovec *iovec;
    unsigned bytes;
    unsigned frames;
};

static inline struct cursor load_cursor(struct fr_writer *writer)
{
    return (struct cursor){
        .at = writer->arena + writer->arena_used + FR_TRUNK_HEADER + writer->covered,
        .iovec = &writer->iovecs[writer->iovec_count],
        .bytes = writer->bytes,
        .frames = writer->frame_count,
    };
}

static inline void store_cursor(struct fr_writer *writer, const struct cursor *cursor)
{
    writer->covered = (uint16_t)(cursor->at - (writer->arena + writer->arena_used + FR_TRUNK_HEADER));
    writer->iovec_count = (uint16_t)(cursor->iovec - writer->iovecs);
    writer->bytes = (uint16_t)cursor->bytes;
    writer->frame_count = (uint16_t)cursor->frames;
}

static inline void next_datagram(struct fr_writer *writer, struct cursor *cursor, uint32_t frame_bytes)
{
    store_cursor(writer, cursor);
    turn_page(writer, frame_bytes);
    *cursor = load_cursor(writer);
}

/* The usual case by itself, so that the compiler asks for the family once. */
static inline void append(struct fr_writer *writer, struct cursor *cursor, const struct fr_address *client,
                          const uint8_t *payload, uint32_t length, uint32_t flags)
{
    if (__builtin_expect(fr_address_is_v4(client), 1)) {
        if (cursor->bytes + FR_FRAME_HEADER_V4 + length > FR_BUNDLE_BYTES || cursor->frames == FR_BUNDLE_FRAMES)
            next_datagram(writer, cursor, FR_FRAME_HEADER_V4 + length);
        store16(cursor->at, (uint16_t)(length | flags));
        memcpy(cursor->at + 2, &client->port_be, 2);
        memcpy(cursor->at + 4, (const uint8_t *)&client->low + 4, 4);
        cursor->at += FR_FRAME_HEADER_V4;
        cursor->bytes += FR_FRAME_HEADER_V4 + length;
    } else {
        if (cursor->bytes + FR_FRAME_HEADER_V6 + length > FR_BUNDLE_BYTES || cursor->frames == FR_BUNDLE_FRAMES)
            next_datagram(writer, cursor, FR_FRAME_HEADER_V6 + length);
        store16(cursor->at, (uint16_t)(length | flags | FR_FRAME_V6));
        memcpy(cursor->at + 2, &client->port_be, 2);
        store32(cursor->at + 4, client->scope);
        memcpy(cursor->at + 8, &client->high, 8);
        memcpy(cursor->at + 16, &client->low, 8);
        cursor->at += FR_FRAME_HEADER_V6;
        cursor->bytes += FR_FRAME_HEADER_V6 + length;
    }
    *cursor->iovec++ = (struct iovec){(void *)payload, length};
    cursor->frames++;
}

void fr_writer_add(struct fr_writer *writer, const struct fr_address *client, const uint8_t *payload, uint32_t length,
                   uint32_t flags)
{
    struct cursor cursor = load_cursor(writer);

    append(writer, &cursor, client, payload, length, flags);
    store_cursor(writer, &cursor);
}

void fr_writer_add_chain(struct fr_writer *writer, const struct fr_outgoing *outgoing, const uint16_t *next,
                         unsigned first, unsigned count)
{
    struct cursor cursor = load_cursor(writer);
    const struct fr_outgoing frames = *outgoing; /* a copy that stores through the cursor cannot touch */

    for (unsigned i = first; count; count--, i = next[i]) {
        uint32_t length = frames.length[i], flags = 0;
        if (__builtin_expect(!length, 0))
            flags = FR_FRAME_CLOSE;
        append(writer, &cursor, &frames.client[i], frames.payload[i], length, flags);
    }
    store_cursor(writer, &cursor);
}

void fr_writer_end(struct fr_writer *writer)
{
    if (writer->frame_count)
        close_datagram(writer);
    close_burst(writer);
}
