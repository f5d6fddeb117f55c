/* The trunk's writer: every limit with the step before and beyond it, padding, and chains of frames. */
#include "trunk/bundle.h"

#include "check.h"
#include "trunk_wire.h"

/* A group is a chain through its batch's columns, written in the chain's order; a length of 0 is a CLOSE. */
static void a_chain_is_written_as_its_frames_one_by_one(void)
{
    static struct fr_writer one_by_one;
    static struct fr_address clients[FR_BATCH];
    static const uint8_t *payloads[FR_BATCH];
    static uint32_t lengths[FR_BATCH];
    static uint16_t next[FR_BATCH];
    const struct fr_outgoing outgoing = {.client = clients, .payload = payloads, .length = lengths};
    for (unsigned i = 0; i < FR_BATCH; i++) {
        clients[i] = i % 3 ? v4(i) : v6(i);
        payloads[i] = payload + i;
        lengths[i] = i % 50 == 49 ? 1500 : i % 20 == 19 ? 0 : i * 37 % 400 + 1;
        next[i] = (uint16_t)((i + 77) % FR_BATCH); /* 77 is odd: the chain passes every frame once */
    }
    sequence = 0;
    begin_anew();
    for (unsigned i = 5, count = 0; count < FR_BATCH; count++, i = next[i])
        fr_writer_add(&writer, &clients[i], payloads[i], lengths[i], lengths[i] ? 0 : FR_FRAME_CLOSE);
    fr_writer_end(&writer);
    one_by_one = writer;
    sequence = 0;
    begin_anew();
    fr_writer_add_chain(&writer, &outgoing, next, 5, 0);
    fr_writer_add_chain(&writer, &outgoing, next, 5, 1);
    fr_writer_add_chain(&writer, &outgoing, next, next[5], FR_BATCH - 1);
    fr_writer_end(&writer);
    CHECK(writer.datagram_count == one_by_one.datagram_count && writer.burst_count == one_by_one.burst_count);
    CHECK(writer.iovec_count == one_by_one.iovec_count && writer.arena_used == one_by_one.arena_used);
    CHECK(memcmp(writer.arena, one_by_one.arena, writer.arena_used) == 0);
    CHECK(memcmp(writer.iovecs, one_by_one.iovecs, writer.iovec_count * sizeof *writer.iovecs) == 0);
    CHECK(memcmp(writer.datagrams, one_by_one.datagrams, writer.datagram_count * sizeof *writer.datagrams) == 0);
    CHECK(memcmp(writer.bursts, one_by_one.bursts, writer.burst_count * sizeof *writer.bursts) == 0);
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

int main(void)
{
    open_wire();
    a_chain_is_written_as_its_frames_one_by_one();
    a_bundle_closes_at_1400_bytes();
    a_bundle_closes_at_64_frames();
    no_burst_passes_what_one_send_may_hold();
    a_burst_is_split_before_65000_bytes();
    an_oversize_frame_travels_alone();
    a_burst_is_padded_to_one_size();
    a_burst_of_nothing_is_none();
    as_many_bursts_as_frames_find_room();
    return check_result();
}
