/* Call quality: loss as RFC 3550 counts it, over a wrap, duplicates, reordering, other streams, and whatever is hostile. */
#include "flow/quality.h"

#include "check.h"
#include "counters.h"

enum { PTIME_TICKS = 960, PTIME_MS = 20, SSRC = 0x12345678 };

/* A client that sends 20 ms packets, and the relay's side of its call. */
struct call {
    struct fr_quality quality;
    uint32_t packets_up;
    uint32_t now_ms;
};

static struct fr_counters counters;

static void write_rtp(uint8_t packet[FR_RTP_HEADER_BYTES], uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
    const uint8_t header[FR_RTP_HEADER_BYTES] = {
        0x80, 111, (uint8_t)(sequence >> 8), (uint8_t)sequence,
        (uint8_t)(timestamp >> 24), (uint8_t)(timestamp >> 16), (uint8_t)(timestamp >> 8), (uint8_t)timestamp,
        (uint8_t)(ssrc >> 24), (uint8_t)(ssrc >> 16), (uint8_t)(ssrc >> 8), (uint8_t)ssrc,
    };
    memcpy(packet, header, sizeof header);
}

static void look(struct call *call, uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
    uint8_t packet[FR_RTP_HEADER_BYTES];
    write_rtp(packet, sequence, timestamp, ssrc);
    uint16_t rtp_up = (uint16_t)(call->packets_up - call->quality.others_up);
    struct fr_rtp_sample sample = {packet, fr_rtp_clock((uint64_t)call->now_ms * 1000), call->now_ms, rtp_up};
    fr_quality_sample(&call->quality, &sample, &counters);
}

/* A packet that has come at its time and is looked at. */
static void receive(struct call *call, uint16_t sequence)
{
    call->packets_up++;
    look(call, sequence, sequence * (uint32_t)PTIME_TICKS, SSRC);
}

static void receive_from_to(struct call *call, uint32_t first, uint32_t last)
{
    for (uint32_t sequence = first; sequence <= last; sequence++)
        receive(call, (uint16_t)sequence);
}

static uint64_t total(const uint64_t histogram[FR_HISTOGRAM_BUCKETS])
{
    uint64_t sum = 0;
    for (unsigned bucket = 0; bucket < FR_HISTOGRAM_BUCKETS; bucket++)
        sum += histogram[bucket];
    return sum;
}

/* --- loss ------------------------------------------------------------------ */

static void nothing_is_lost_of_a_whole_stream_over_the_wrap(void)
{
    struct call call = {0};
    receive_from_to(&call, 65000, 65535 + 70000);
    CHECK(call.quality.lost == 0 && call.quality.reordered == 0 && fr_quality_rtp(&call.quality, call.packets_up) > 70000);
}

static void a_gap_is_lost_wherever_it_lies(void)
{
    const uint16_t starts[] = {0, 1, 500, 32760, 65530, 65535};
    for (unsigned row = 0; row < sizeof starts / sizeof *starts; row++) {
        struct call call = {0};
        receive_from_to(&call, starts[row], starts[row] + 3u);
        receive_from_to(&call, starts[row] + 9u, starts[row] + 60u); /* 4 to 8 are missing */
        CHECK(call.quality.lost == 5 && call.quality.reordered == 0);
    }
}

static void a_late_packet_makes_good_its_loss_and_is_reordered(void)
{
    struct call call = {0};
    receive_from_to(&call, 0, 10);
    receive_from_to(&call, 12, 14);
    CHECK(call.quality.lost == 1);
    receive(&call, 11);
    CHECK(call.quality.reordered == 1);
    receive(&call, 15);
    CHECK(call.quality.lost == 0 && call.quality.reordered == 1);
}

static void a_duplicate_is_no_reordering_and_hides_one_loss_as_the_rfc_has_it(void)
{
    struct call call = {0};
    receive_from_to(&call, 0, 10);
    receive(&call, 10);
    receive(&call, 11);
    CHECK(call.quality.lost == 0 && call.quality.reordered == 0);
    receive(&call, 14);
    CHECK(call.quality.lost == 1);
}

static void duplicates_hide_no_more_than_reordering_could(void)
{
    struct call call = {0};
    for (uint16_t sequence = 0; sequence < 5000; sequence++) {
        receive(&call, sequence);
        receive(&call, sequence);
    }
    receive(&call, 6000); /* 1,000 are missing, and one duplicate has not been counted against anything */
    CHECK(call.quality.lost >= 1000 - 1 - FR_RTP_MISORDER - 1 && call.quality.lost < 1000);
}

static void packets_that_nobody_looked_at_are_not_lost(void)
{
    struct call call = {0};
    uint32_t sequence = 65000, expected_lost = 0;
    for (unsigned sample = 0; sample < 2000; sample++) {
        uint32_t unseen = sample * 37 % 128, dropped = sample % 5 == 0 ? sample % 11 : 0;
        call.packets_up += unseen - (unseen >= dropped ? dropped : 0);
        expected_lost += unseen >= dropped ? dropped : 0;
        sequence += unseen + 1;
        receive(&call, (uint16_t)sequence);
        if (sample == 0)
            expected_lost = 0; /* what came before the first one looked at is not known */
    }
    CHECK(expected_lost > 1000 && call.quality.lost == expected_lost);
}

static void packets_that_are_no_rtp_do_not_count(void)
{
    struct call call = {0};
    for (uint32_t sequence = 0; sequence < 70000; sequence++) {
        receive(&call, (uint16_t)sequence);
        call.packets_up++;
        fr_quality_other(&call.quality, false, 0);
    }
    CHECK(call.quality.lost == 0 && call.quality.others_up == (uint16_t)70000);
}

static void loss_saturates_and_stays(void)
{
    struct call call = {0};
    for (uint32_t sequence = 0; sequence < 3000u * 30; sequence += 3000)
        receive(&call, (uint16_t)sequence);
    CHECK(call.quality.lost == UINT16_MAX);
    receive(&call, (uint16_t)(3000u * 29));
    receive(&call, (uint16_t)(3000u * 29 + 1));
    CHECK(call.quality.lost == UINT16_MAX);
}

static void reordering_saturates(void)
{
    struct call call = {0};
    receive(&call, 50);
    for (unsigned packet = 0; packet < 1000; packet++)
        receive(&call, 49);
    CHECK(call.quality.reordered == UINT8_MAX);
}

/* --- other streams --------------------------------------------------------- */

static void one_stray_packet_changes_nothing(void)
{
    const struct { uint16_t sequence; uint32_t ssrc; } rows[] = {
        {15, SSRC + 1}, {40000, SSRC}, {5000, SSRC}, {(uint16_t)-200, SSRC},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct call call = {0};
        receive_from_to(&call, 0, 10);
        uint16_t jitter = call.quality.jitter;
        call.packets_up++;
        look(&call, rows[row].sequence, 123456789, rows[row].ssrc);
        receive_from_to(&call, 11, 20);
        receive(&call, 23);
        CHECK(call.quality.lost == 2 && call.quality.reordered == 0 && call.quality.jitter >= jitter);
    }
}

static void two_in_a_row_are_the_new_stream_and_keep_what_was_lost(void)
{
    struct call call = {0};
    receive_from_to(&call, 0, 10);
    receive(&call, 14);
    for (uint16_t sequence = 60000; sequence < 60010; sequence++) {
        call.packets_up++;
        look(&call, sequence, 7, SSRC ^ 0xff);
    }
    CHECK(call.quality.lost == 3);
    call.packets_up++;
    look(&call, 60012, 7, SSRC ^ 0xff);
    CHECK(call.quality.lost == 5);
}

static void two_streams_in_turn_do_not_spoil_the_first(void)
{
    struct call call = {0};
    for (uint16_t sequence = 0; sequence < 1000; sequence++) {
        if (sequence % 100 != 99)
            receive(&call, sequence);
        call.packets_up++;
        look(&call, (uint16_t)(sequence + 500), 5, SSRC + 1);
    }
    CHECK(call.quality.lost <= 10);
}

/* --- jitter ---------------------------------------------------------------- */

static void a_steady_stream_has_no_jitter(void)
{
    struct call call = {.now_ms = UINT32_MAX - 5000}; /* both clocks wrap */
    for (uint16_t sequence = 0; sequence < 1000; sequence++, call.now_ms += PTIME_MS) {
        call.packets_up++;
        look(&call, sequence, UINT32_MAX - 9600 + sequence * (uint32_t)PTIME_TICKS, SSRC);
    }
    CHECK(call.quality.jitter <= 8); /* the 48 kHz clock jumps where the 32 bits of ms do: once, in this test alone */
}

static void jitter_comes_to_the_mean_difference(void)
{
    const uint32_t swings_ms[] = {1, 2, 5, 30, 400};
    for (unsigned row = 0; row < sizeof swings_ms / sizeof *swings_ms; row++) {
        struct call call = {.now_ms = 1000};
        for (uint16_t sequence = 0; sequence < 2000; sequence++, call.now_ms += PTIME_MS) {
            call.packets_up++;
            call.now_ms += sequence % 2 ? swings_ms[row] : 0;
            look(&call, sequence, sequence * (uint32_t)PTIME_TICKS, SSRC);
            call.now_ms -= sequence % 2 ? swings_ms[row] : 0;
        }
        /* every difference is the swing; a unit is 1/8 ms */
        CHECK(call.quality.jitter >= swings_ms[row] * 8 - 8 && call.quality.jitter <= swings_ms[row] * 8 + 8);
    }
}

static void a_new_clock_of_the_sender_is_no_jitter(void)
{
    struct call call = {0};
    receive_from_to(&call, 0, 10);
    for (uint16_t sequence = 11; sequence < 200; sequence++) {
        call.packets_up++;
        look(&call, sequence, sequence * 0x9e3779b9u, SSRC); /* anywhere */
    }
    CHECK(call.quality.jitter <= 8000 && call.quality.lost == 0);
}

/* --- set-up ---------------------------------------------------------------- */

static void set_up_is_from_the_first_check_to_the_first_media(void)
{
    const struct { uint32_t dtls_ms, media_ms; uint16_t setup_ms; uint32_t media_us; } rows[] = {
        {100, 350, 350, 250000}, {0, 0, 1, 0}, {70000, 80000, UINT16_MAX, 14465000}, {10, 65536, UINT16_MAX, 65526000},
    };
    for (unsigned row = 0; row < sizeof rows / sizeof *rows; row++) {
        struct call call = {.now_ms = UINT32_MAX - 20 + rows[row].media_ms}; /* the clock wraps */
        memset(&counters, 0, sizeof counters);
        fr_quality_begin(&call.quality, UINT32_MAX - 20);
        fr_quality_other(&call.quality, true, UINT32_MAX - 20 + rows[row].dtls_ms);
        fr_quality_other(&call.quality, true, UINT32_MAX - 20 + rows[row].dtls_ms + 5);
        call.packets_up = 2;
        receive_from_to(&call, 7, 30);
        CHECK(call.quality.setup_ms == rows[row].setup_ms);
        CHECK(call.quality.state == (FR_QUALITY_MEDIA | FR_QUALITY_DTLS | FR_QUALITY_TIMED));
        CHECK(total(counters.call_setup_us) == 1 && total(counters.call_media_us) == 1);
        CHECK(counters.call_setup_us[fr_histogram_bucket(rows[row].media_ms * 1000u)] == 1);
        CHECK(counters.call_media_us[fr_histogram_bucket(rows[row].media_us)] == 1);
        CHECK(call.quality.lost == 0 && call.quality.others_up == 2);
    }
}

static void media_that_came_unseen_is_taken_off_the_set_up(void)
{
    struct call call = {.now_ms = 1000, .packets_up = 9};
    fr_quality_begin(&call.quality, 0);
    receive(&call, 1);
    CHECK(call.quality.setup_ms == 1000 - 9 * PTIME_MS);
}

static void a_flow_that_no_check_has_made_has_no_set_up(void)
{
    struct call call = {.now_ms = 1000, .packets_up = 1};
    memset(&counters, 0, sizeof counters);
    fr_quality_other(&call.quality, true, 900);
    receive_from_to(&call, 1, 60);
    CHECK(call.quality.setup_ms == 0 && call.quality.lost == 0);
    CHECK(total(counters.call_setup_us) == 0 && total(counters.call_media_us) == 0);
}

/* --- the end --------------------------------------------------------------- */

static void a_call_counts_once_with_its_figures(void)
{
    struct call call = {0};
    memset(&counters, 0, sizeof counters);
    receive_from_to(&call, 0, 49);
    receive_from_to(&call, 60, 99);
    fr_quality_end(&call.quality, call.packets_up, &counters);
    CHECK(total(counters.call_loss) == 1 && counters.call_loss[fr_histogram_bucket(1000)] == 1); /* 10 of 100 */
    CHECK(total(counters.call_jitter_us) == 1);
}

static void what_was_no_call_does_not_count(void)
{
    struct call call = {0}, silent = {.packets_up = 1000};
    memset(&counters, 0, sizeof counters);
    receive_from_to(&call, 0, FR_CALL_PACKETS_MIN - 2);
    fr_quality_end(&call.quality, call.packets_up, &counters);
    fr_quality_end(&silent.quality, silent.packets_up, &counters);
    silent.quality.others_up = UINT16_MAX; /* more than there were packets: half written by a worker that died */
    silent.quality.state = FR_QUALITY_MEDIA;
    fr_quality_end(&silent.quality, silent.packets_up, &counters);
    CHECK(total(counters.call_loss) == 0 && total(counters.call_jitter_us) == 0);
}

/* --- anything -------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252u;

static uint64_t draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void any_record_and_any_packet_are_legal(void)
{
    memset(&counters, 0, sizeof counters);
    for (unsigned round = 0; round < 20000; round++) {
        struct fr_quality quality;
        for (unsigned at = 0; at < sizeof quality; at++)
            ((uint8_t *)&quality)[at] = (uint8_t)(draw() >> 32);
        for (unsigned packets = 0; packets < 20; packets++) {
            uint8_t packet[FR_RTP_HEADER_BYTES];
            for (unsigned at = 0; at < sizeof packet; at++)
                packet[at] = (uint8_t)(draw() >> 32);
            uint8_t *exact = check_copy(packet, sizeof packet);
            struct fr_rtp_sample sample = {exact, (uint32_t)draw(), (uint32_t)draw(), (uint16_t)draw()};
            uint16_t lost = quality.lost;
            fr_quality_is_next(&quality, exact, sample.rtp_up);
            fr_quality_sample(&quality, &sample, &counters);
            CHECK(lost != UINT16_MAX || quality.lost == UINT16_MAX);
            fr_quality_other(&quality, draw() & 1, (uint32_t)draw());
            fr_quality_end(&quality, (uint32_t)draw(), &counters);
            free(exact);
        }
    }
    /* a share is never above the whole */
    for (unsigned bucket = fr_histogram_bucket(10000) + 1; bucket < FR_HISTOGRAM_BUCKETS; bucket++)
        CHECK(counters.call_loss[bucket] == 0);
}

int main(void)
{
    nothing_is_lost_of_a_whole_stream_over_the_wrap();
    a_gap_is_lost_wherever_it_lies();
    a_late_packet_makes_good_its_loss_and_is_reordered();
    a_duplicate_is_no_reordering_and_hides_one_loss_as_the_rfc_has_it();
    duplicates_hide_no_more_than_reordering_could();
    packets_that_nobody_looked_at_are_not_lost();
    packets_that_are_no_rtp_do_not_count();
    loss_saturates_and_stays();
    reordering_saturates();
    one_stray_packet_changes_nothing();
    two_in_a_row_are_the_new_stream_and_keep_what_was_lost();
    two_streams_in_turn_do_not_spoil_the_first();
    a_steady_stream_has_no_jitter();
    jitter_comes_to_the_mean_difference();
    a_new_clock_of_the_sender_is_no_jitter();
    set_up_is_from_the_first_check_to_the_first_media();
    media_that_came_unseen_is_taken_off_the_set_up();
    a_flow_that_no_check_has_made_has_no_set_up();
    a_call_counts_once_with_its_figures();
    what_was_no_call_does_not_count();
    any_record_and_any_packet_are_legal();
    return check_result();
}
