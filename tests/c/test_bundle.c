/* Trunk datagrams from one end to the other: round trips, every limit and the step beyond it, every refusal.
 *
 * The published vectors are held from Python (tests/unit/test_trunk_compiled.py), where the twin holds them too. */
#include "trunk/bundle.h"

#include <arpa/inet.h>

#include "check.h"
#include "verdict.h"

static const uint8_t key[16] = "a trunk mac key";
static struct fr_writer writer;
static uint64_t sequence;
static uint8_t payload[FR_CLIENT_DATAGRAM_MAX];

static struct fr_address v4(unsigned host)
{
    return fr_address_v4(htonl(0xc0000200u + host), htons((uint16_t)(50000 + host)));
}

/* Odd hosts are global, even ones link-local with a scope. */
static struct fr_address v6(unsigned host)
{
    const uint8_t global[2] = {0x20, 0x01}, link_local[2] = {0xfe, 0x80};
    uint8_t bytes[16] = {[14] = (uint8_t)(host >> 8), [15] = (uint8_t)host};
    struct fr_address address = {.scope = host % 2 ? 0 : 3, .port_be = htons((uint16_t)(40000 + host))};
    memcpy(bytes, host % 2 ? global : link_local, 2);
    memcpy(&address.high, bytes, 8);
    memcpy(&address.low, bytes + 8, 8);
    return address;
}

static void begin(void)
{
    struct fr_burst_head head = {
        .mac_key = key, .epoch_us = 0x0102030405060708u, .sequence = &sequence, .via = 513, .key_id = 9,
        .kind = FR_BUNDLE_UP,
    };
    fr_writer_begin(&writer, &head);
}

static void begin_anew(void)
{
    fr_writer_reset(&writer);
    begin();
}

static void add_many(unsigned count, const struct fr_address *client, uint32_t length)
{
    for (unsigned i = 0; i < count; i++)
        fr_writer_add(&writer, client, payload, length, 0);
}

/* A datagram of the writer as it would stand on the wire, in a heap buffer of its exact size. */
static uint8_t *on_wire(unsigned at, size_t *length)
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
        memcpy(bytes + copied, iovec->iov_base, iovec->iov_len);
        copied += iovec->iov_len;
    }
    return bytes;
}

/* All checks of one datagram: the frame count, or minus the refusing verdict. */
static int read_all(const uint8_t *bytes, size_t length, struct fr_frame frames[FR_BUNDLE_FRAMES])
{
    struct fr_trunk_header header;
    int refusal = fr_trunk_read_header(bytes, length, &header);
    if (!refusal)
        refusal = fr_trunk_check_mac(bytes, length, &header, key);
    if (!refusal)
        refusal = fr_trunk_read_frames(bytes, length, &header, frames);
    return refusal ? -refusal : header.frame_count;
}

static unsigned frames_of(unsigned at)
{
    struct fr_frame frames[FR_BUNDLE_FRAMES];
    size_t length;
    uint8_t *bytes = on_wire(at, &length);
    int count = read_all(bytes, length, frames);
    free(bytes);
    CHECK(count > 0);
    return count > 0 ? (unsigned)count : 0;
}

/* --- round trips ----------------------------------------------------------- */

static void frames_of_both_families_come_back(void)
{
    struct fr_frame frames[FR_BUNDLE_FRAMES];
    struct fr_address clients[] = {v4(1), v6(2), v6(3), v4(4), v6(5)};
    const uint32_t lengths[] = {160, 1, 0, 37, 0}, flags[] = {0, 0, FR_FRAME_CLOSE, 0, 0};
    size_t length;
    begin_anew();
    for (unsigned i = 0; i < 5; i++)
        fr_writer_add(&writer, &clients[i], payload + i, lengths[i], flags[i]);
    fr_writer_end(&writer);
    CHECK(writer.datagram_count == 1 && writer.burst_count == 1);
    uint8_t *bytes = on_wire(0, &length);
    CHECK(length == FR_TRUNK_HEADER + 2 * FR_FRAME_HEADER_V4 + 3 * FR_FRAME_HEADER_V6 + 198);
    CHECK(read_all(bytes, length, frames) == 5);
    for (unsigned i = 0; i < 5; i++) {
        CHECK(fr_address_equal(&frames[i].client, &clients[i]));
        CHECK(frames[i].length == lengths[i] && frames[i].flags == flags[i]);
        CHECK(memcmp(frames[i].payload, payload + i, lengths[i]) == 0);
    }
    free(bytes);
}

static void the_header_says_what_the_sender_said(void)
{
    struct fr_trunk_header header;
    struct fr_address client = v4(1);
    size_t length;
    sequence = 0x1112131415161717u;
    begin_anew();
    add_many(3, &client, 10);
    fr_writer_end(&writer);
    uint8_t *bytes = on_wire(0, &length);
    CHECK(fr_trunk_read_header(bytes, length, &header) == 0);
    CHECK(header.kind == FR_BUNDLE_UP && header.key_id == 9 && header.frame_count == 3 && header.via == 513);
    CHECK(header.covered_bytes == 24 && header.epoch_us == 0x0102030405060708u);
    CHECK(header.sequence == 0x1112131415161718u);
    CHECK(sequence == header.sequence);
    free(bytes);
}

static void datagrams_are_numbered_over_bursts(void)
{
    struct fr_address client = v4(1);
    sequence = 41;
    fr_writer_reset(&writer);
    for (unsigned burst = 0; burst < 3; burst++) {
        begin();
        add_many(3, &client, 1000);
        fr_writer_end(&writer);
    }
    CHECK(writer.burst_count == 3 && writer.datagram_count == 9 && sequence == 50);
    for (unsigned at = 0; at < 9; at++) {
        struct fr_trunk_header header;
        size_t length;
        uint8_t *bytes = on_wire(at, &length);
        CHECK(fr_trunk_read_header(bytes, length, &header) == 0 && header.sequence == 42 + at);
        free(bytes);
    }
}

static void a_hello_comes_back(void)
{
    uint8_t *bytes = malloc(FR_TRUNK_HEADER + FR_HELLO_BODY);
    struct fr_trunk_header header = {.kind = FR_HELLO_DOWN, .key_id = 2, .frame_count = 7, .epoch_us = 5, .sequence = 6};
    struct fr_hello sent = {1, UINT64_MAX, UINT32_MAX - 1, FR_HELLO_DRAINING, 0x0807060504030201u, 4}, heard;
    size_t length = FR_TRUNK_HEADER + FR_HELLO_BODY;
    fr_trunk_write_hello(bytes, &header, &sent, key);
    CHECK(fr_trunk_read_header(bytes, length, &header) == 0);
    CHECK(header.kind == FR_HELLO_DOWN && header.frame_count == 0 && header.covered_bytes == FR_HELLO_BODY);
    CHECK(fr_trunk_check_mac(bytes, length, &header, key) == 0);
    CHECK(fr_trunk_read_hello(bytes, &header, &heard) == 0);
    CHECK(memcmp(&sent, &heard, sizeof sent) == 0);
    header.frame_count = 1;
    CHECK(fr_trunk_read_hello(bytes, &header, &heard) == FR_TRUNK_MALFORMED);
    header.frame_count = 0;
    for (int off = -1; off <= 1; off += 2) {
        header.covered_bytes = (uint16_t)(FR_HELLO_BODY + off);
        CHECK(fr_trunk_read_hello(bytes, &header, &heard) == FR_TRUNK_MALFORMED);
    }
    free(bytes);
}

/* --- limits ---------------------------------------------------------------- */

static void a_bundle_closes_at_1400_bytes(void)
{
    struct fr_address clients[] = {v4(1), v6(1)};
    for (unsigned family = 0; family < 2; family++) {
        uint32_t each = family ? FR_FRAME_HEADER_V6 : FR_FRAME_HEADER_V4;
        uint32_t rest = FR_BUNDLE_BYTES - FR_TRUNK_HEADER - 2 * each - 700;
        for (int off = -1; off <= 1; off++) {
            begin_anew();
            add_many(1, &clients[family], 700);
            add_many(1, &clients[family], rest + (uint32_t)off);
            fr_writer_end(&writer);
            CHECK(writer.datagram_count == (off > 0 ? 2 : 1));
            CHECK(off > 0 || writer.datagrams[0].bytes == FR_BUNDLE_BYTES + off);
        }
    }
}

static void a_bundle_closes_at_64_frames(void)
{
    struct fr_address client = v4(1);
    for (unsigned count = FR_BUNDLE_FRAMES - 1; count <= FR_BUNDLE_FRAMES + 1; count++) {
        begin_anew();
        add_many(count, &client, 13);
        fr_writer_end(&writer);
        CHECK(writer.datagram_count == (count > FR_BUNDLE_FRAMES ? 2 : 1));
        CHECK(frames_of(0) == (count > FR_BUNDLE_FRAMES ? FR_BUNDLE_FRAMES : count));
    }
}

/* The kernel refuses a send of more than 64 segments or 64 KiB: no burst may come to that, however it is filled. */
static void no_burst_passes_what_one_send_may_hold(void)
{
    const uint32_t lengths[] = {0, 1, 13, 160, 663, 664, 665, 1000, 1343, 1344, 1360, 1361, 2048};
    for (unsigned family = 0; family < 2; family++)
        for (unsigned row = 0; row < sizeof lengths / sizeof *lengths; row++) {
            struct fr_address client = family ? v6(1) : v4(1);
            unsigned frames = 0;
            begin_anew();
            add_many(FR_BATCH, &client, lengths[row]);
            fr_writer_end(&writer);
            for (unsigned at = 0; at < writer.burst_count; at++) {
                const struct fr_burst *burst = &writer.bursts[at];
                CHECK(burst->datagram_count >= 1 && burst->datagram_count <= FR_SEGMENTS);
                CHECK(burst->datagram_count * (unsigned)burst->segment_bytes <= FR_SEGMENTED_BYTES);
                CHECK(burst->segment_bytes <= FR_BUNDLE_BYTES || burst->datagram_count == 1);
                for (unsigned i = 0; i < burst->datagram_count; i++)
                    frames += frames_of(burst->first_datagram + i);
            }
            CHECK(frames == FR_BATCH);
            CHECK(writer.iovec_count <= sizeof writer.iovecs / sizeof *writer.iovecs);
            CHECK(writer.arena_used <= sizeof writer.arena);
        }
}

static void a_burst_is_split_before_65000_bytes(void)
{
    struct fr_address client = v4(1);
    unsigned full = FR_SEGMENTED_BYTES / FR_BUNDLE_BYTES;
    for (unsigned count = full - 1; count <= full + 1; count++) {
        begin_anew();
        add_many(count, &client, FR_BUNDLE_BYTES - FR_TRUNK_HEADER - FR_FRAME_HEADER_V4);
        fr_writer_end(&writer);
        CHECK(writer.datagram_count == count);
        CHECK(writer.burst_count == (count > full ? 2 : 1));
    }
}

static void an_oversize_frame_travels_alone(void)
{
    struct fr_address client = v4(1);
    const uint32_t most = FR_BUNDLE_BYTES - FR_TRUNK_HEADER - FR_FRAME_HEADER_V4;
    for (int off = 0; off <= 1; off++) {
        begin_anew();
        add_many(1, &client, 100);
        add_many(1, &client, most + (uint32_t)off);
        add_many(1, &client, 100);
        fr_writer_end(&writer);
        CHECK(writer.datagram_count == 3);
        CHECK(writer.burst_count == (off ? 3 : 1));
        CHECK(writer.datagrams[1].bytes == FR_BUNDLE_BYTES + off);
    }
    begin_anew();
    add_many(2, &client, FR_CLIENT_DATAGRAM_MAX);
    fr_writer_end(&writer);
    CHECK(writer.burst_count == 2 && frames_of(0) == 1 && frames_of(1) == 1);
}

static void a_burst_is_padded_to_one_size(void)
{
    struct fr_address client = v4(1);
    const uint32_t lengths[] = {700, 900, 500, 1200, 800};
    size_t length;
    begin_anew();
    for (unsigned i = 0; i < 5; i++)
        add_many(1, &client, lengths[i]);
    fr_writer_end(&writer);
    CHECK(writer.burst_count == 1 && writer.datagram_count == 5);
    CHECK(writer.bursts[0].segment_bytes == FR_TRUNK_HEADER + FR_FRAME_HEADER_V4 + 1200);
    for (unsigned at = 0; at < 5; at++) {
        uint8_t *bytes = on_wire(at, &length);
        CHECK(length == (at < 4 ? writer.bursts[0].segment_bytes : writer.datagrams[4].bytes));
        for (size_t i = writer.datagrams[at].bytes; i < length; i++)
            CHECK(bytes[i] == 0);
        free(bytes);
        CHECK(frames_of(at) == 1);
    }
}

static void a_burst_of_nothing_is_none(void)
{
    sequence = 7;
    begin_anew();
    fr_writer_end(&writer);
    CHECK(writer.burst_count == 0 && writer.datagram_count == 0 && writer.iovec_count == 0 && sequence == 7);
}

static void as_many_bursts_as_frames_find_room(void)
{
    fr_writer_reset(&writer);
    for (unsigned i = 0; i < FR_BATCH; i++) {
        struct fr_address client = v6(i);
        begin();
        add_many(1, &client, FR_CLIENT_DATAGRAM_MAX);
        fr_writer_end(&writer);
    }
    CHECK(writer.burst_count == FR_BATCH && writer.datagram_count == FR_BATCH);
    CHECK(writer.iovec_count == 3 * FR_BATCH && writer.arena_used == sizeof writer.arena);
    for (unsigned at = 0; at < FR_BATCH; at++)
        CHECK(frames_of(at) == 1);
}

/* --- refusals -------------------------------------------------------------- */

/* A header with a right MAC over these frame headers, in a buffer of exactly `length` bytes. */
static uint8_t *forge(uint16_t frame_count, const void *covered, uint16_t covered_bytes, size_t length)
{
    uint8_t *bytes = calloc(1, length);
    if (!bytes)
        exit(2);
    bytes[0] = FR_TRUNK_VERSION << 4 | FR_BUNDLE_DOWN;
    bytes[2] = (uint8_t)(frame_count >> 8);
    bytes[3] = (uint8_t)frame_count;
    bytes[6] = (uint8_t)(covered_bytes >> 8);
    bytes[7] = (uint8_t)covered_bytes;
    memcpy(bytes + FR_TRUNK_HEADER, covered, covered_bytes);
    uint64_t mac = htole64(fr_siphash(key, bytes, FR_TRUNK_MAC_AT, bytes + FR_TRUNK_HEADER, covered_bytes));
    memcpy(bytes + FR_TRUNK_MAC_AT, &mac, 8);
    return bytes;
}

static int verdict_of(uint16_t frame_count, const void *covered, uint16_t covered_bytes, size_t payload_bytes)
{
    struct fr_frame frames[FR_BUNDLE_FRAMES];
    size_t length = FR_TRUNK_HEADER + covered_bytes + payload_bytes;
    uint8_t *bytes = forge(frame_count, covered, covered_bytes, length);
    int result = read_all(bytes, length, frames);
    free(bytes);
    return result < 0 ? -result : 0;
}

static void frame_headers_must_be_sound(void)
{
    static const uint8_t mapped[24] = {0x80, 1, [18] = 0xff, [19] = 0xff, [20] = 10};
    static const uint8_t scoped_local[24] = {0x80, 1, [7] = 3, [8] = 0xfe, [9] = 0x80, [23] = 1};
    static const uint8_t scoped_global[24] = {0x80, 1, [7] = 3, [8] = 0x20, [9] = 0x01, [23] = 1};
    static const struct {
        const char *name;
        uint16_t count;
        uint16_t covered_bytes;
        uint8_t covered[24];
        size_t payload_bytes;
        int verdict;
    } rows[] = {
        {"sound", 1, 8, {0, 1}, 1, 0},
        {"no frames", 0, 8, {0, 1}, 1, FR_TRUNK_MALFORMED},
        {"no frames and no headers", 0, 0, {0}, 0, FR_TRUNK_MALFORMED},
        {"a header cut", 1, 7, {0, 1}, 1, FR_TRUNK_MALFORMED},
        {"a long header cut", 1, 23, {0x80, 1}, 1, FR_TRUNK_MALFORMED},
        {"a long header in a short one's place", 1, 8, {0x80, 1}, 1, FR_TRUNK_MALFORMED},
        {"a byte more than the headers", 1, 9, {0, 1}, 1, FR_TRUNK_MALFORMED},
        {"fewer headers than frames", 3, 16, {0, 1, [9] = 1}, 2, FR_TRUNK_MALFORMED},
        {"more headers than frames", 1, 16, {0, 1, [9] = 1}, 2, FR_TRUNK_MALFORMED},
        {"reserved bit 12", 1, 8, {0x10, 1}, 1, FR_TRUNK_MALFORMED},
        {"reserved bit 13", 1, 8, {0x20, 1}, 1, FR_TRUNK_MALFORMED},
        {"2,048 bytes", 1, 8, {0x08, 0}, 2048, 0},
        {"2,049 bytes", 1, 8, {0x08, 1}, 2049, FR_TRUNK_MALFORMED},
        {"CLOSE", 1, 8, {0x40, 0}, 0, 0},
        {"CLOSE with a payload", 1, 8, {0x40, 1}, 1, FR_TRUNK_MALFORMED},
        {"payload cut", 1, 8, {0, 2}, 1, FR_TRUNK_TRUNCATED},
        {"the first payload cut, the second empty", 2, 16, {0, 2}, 1, FR_TRUNK_TRUNCATED},
        {"second payload cut", 2, 16, {0, 1, [9] = 2}, 2, FR_TRUNK_TRUNCATED},
        {"malformed behind a cut payload", 2, 16, {0, 2, [8] = 0x10}, 1, FR_TRUNK_MALFORMED},
        {"too few headers behind a cut payload", 2, 8, {0, 2}, 1, FR_TRUNK_MALFORMED},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        int verdict = verdict_of(rows[row].count, rows[row].covered, rows[row].covered_bytes, rows[row].payload_bytes);
        if (verdict != rows[row].verdict)
            fprintf(stderr, "%s: %d\n", rows[row].name, verdict);
        CHECK(verdict == rows[row].verdict);
    }
    CHECK(verdict_of(1, mapped, 24, 1) == FR_TRUNK_MALFORMED);
    CHECK(verdict_of(1, scoped_local, 24, 1) == 0);
    CHECK(verdict_of(1, scoped_global, 24, 1) == FR_TRUNK_MALFORMED);
}

static void more_frames_than_may_be_are_refused(void)
{
    static const uint8_t headers[8 * (FR_BUNDLE_FRAMES + 1)];
    CHECK(verdict_of(FR_BUNDLE_FRAMES, headers, 8 * FR_BUNDLE_FRAMES, 0) == 0);
    CHECK(verdict_of(FR_BUNDLE_FRAMES + 1, headers, 8 * (FR_BUNDLE_FRAMES + 1), 0) == FR_TRUNK_MALFORMED);
    CHECK(verdict_of(UINT16_MAX, headers, sizeof headers, 0) == FR_TRUNK_MALFORMED);
}

static void only_version_one_and_four_kinds_are_known(void)
{
    struct fr_trunk_header header;
    uint8_t bytes[FR_TRUNK_HEADER] = {0};
    for (unsigned first = 0; first < 256; first++) {
        bytes[0] = (uint8_t)first;
        bool is_known = first >= 0x11 && first <= 0x14;
        CHECK(fr_trunk_read_header(bytes, sizeof bytes, &header) == (is_known ? 0 : FR_TRUNK_MALFORMED));
    }
}

static void every_truncation_is_told_and_every_flip_is_noticed(void)
{
    struct fr_frame frames[FR_BUNDLE_FRAMES];
    struct fr_address clients[] = {v4(1), v6(2)};
    size_t whole;
    begin_anew();
    for (unsigned i = 0; i < 2; i++)
        add_many(1, &clients[i], 20);
    fr_writer_end(&writer);
    uint8_t *bytes = on_wire(0, &whole);
    for (size_t length = 0; length < whole; length++) {
        uint8_t *cut = check_copy(bytes, length);
        CHECK(read_all(cut, length, frames) == -FR_TRUNK_TRUNCATED);
        free(cut);
    }
    for (size_t bit = 0; bit < whole * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK((read_all(bytes, whole, frames) < 0) == (bit / 8 < whole - 40));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(bytes);
}

int main(void)
{
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(0x80 + i % 97);
    frames_of_both_families_come_back();
    the_header_says_what_the_sender_said();
    datagrams_are_numbered_over_bursts();
    a_hello_comes_back();
    a_bundle_closes_at_1400_bytes();
    a_bundle_closes_at_64_frames();
    no_burst_passes_what_one_send_may_hold();
    a_burst_is_split_before_65000_bytes();
    an_oversize_frame_travels_alone();
    a_burst_is_padded_to_one_size();
    a_burst_of_nothing_is_none();
    as_many_bursts_as_frames_find_room();
    frame_headers_must_be_sound();
    more_frames_than_may_be_are_refused();
    only_version_one_and_four_kinds_are_known();
    every_truncation_is_told_and_every_flip_is_noticed();
    return check_result();
}
