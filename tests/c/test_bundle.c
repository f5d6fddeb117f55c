/* Trunk datagrams from one end to the other: round trips, and every refusal. The writer's limits are in test_writer.c.
 *
 * The published vectors are held from Python (tests/unit/test_trunk_compiled.py), where the twin holds them too. */
#include "trunk/bundle.h"

#include "check.h"
#include "trunk_wire.h"
#include "verdict.h"

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
    fr_trunk_write_hello(bytes, &header, &sent, &key);
    CHECK(fr_trunk_read_header(bytes, length, &header) == 0);
    CHECK(header.kind == FR_HELLO_DOWN && header.frame_count == 0 && header.covered_bytes == FR_HELLO_BODY);
    CHECK(fr_trunk_check_mac(bytes, length, &header, &key) == 0);
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
    uint64_t mac = fr_cmac_carried(&key, bytes, FR_TRUNK_HEADER + covered_bytes);
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
    open_wire();
    frames_of_both_families_come_back();
    the_header_says_what_the_sender_said();
    datagrams_are_numbered_over_bursts();
    a_hello_comes_back();
    frame_headers_must_be_sound();
    more_frames_than_may_be_are_refused();
    only_version_one_and_four_kinds_are_known();
    every_truncation_is_told_and_every_flip_is_noticed();
    return check_result();
}
