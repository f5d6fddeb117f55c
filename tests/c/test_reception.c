/* Reception statistics: loss, what is missing, jitter, jumps. What any order of packets makes is in test_srtp_twin.py. */
#include "media/reception.h"

#include "check.h"

enum { PTIME_TICKS = 960, PTIME_US = 20000 };

static uint64_t receive_late(struct fr_reception *reception, uint32_t number, uint64_t late_us)
{
    return fr_reception_count(reception, (uint16_t)number, number * PTIME_TICKS, 80, number * PTIME_US + late_us);
}

static uint64_t receive(struct fr_reception *reception, uint32_t number)
{
    return receive_late(reception, number, 0);
}

static void nothing_is_expected_of_a_stream_that_has_not_begun(void)
{
    struct fr_reception reception = {0};
    uint16_t missing[FR_RECEPTION_HISTORY];

    CHECK(fr_reception_expected(&reception) == 0 && fr_reception_lost(&reception) == 0);
    CHECK(fr_reception_missing(&reception, missing) == 0);
}

static void what_does_not_come_is_lost_until_it_comes(void)
{
    struct fr_reception reception;
    uint16_t missing[FR_RECEPTION_HISTORY];

    fr_reception_begin(&reception, 7);
    receive(&reception, 0xfffe);
    CHECK(receive(&reception, 0x10001) == 0x10001);
    CHECK(fr_reception_expected(&reception) == 4 && fr_reception_lost(&reception) == 2);
    CHECK(fr_reception_missing(&reception, missing) == 2 && missing[0] == 0xffff && missing[1] == 0);
    CHECK(receive(&reception, 0x10000) == 0x10000);
    CHECK(fr_reception_missing(&reception, missing) == 1 && missing[0] == 0xffff);
    CHECK(receive(&reception, 0xffff) == 0xffff);
    CHECK(fr_reception_lost(&reception) == 0 && fr_reception_missing(&reception, missing) == 0);
    CHECK(reception.packets == 4 && reception.octets == 320 && reception.ssrc == 7);
}

static void what_is_missing_is_known_of_the_latest_alone(void)
{
    for (uint32_t ahead = 60; ahead < 70; ahead++) {
        struct fr_reception reception = {0};
        uint16_t missing[FR_RECEPTION_HISTORY];

        receive(&reception, 100);
        receive(&reception, 100 + ahead);
        int count = fr_reception_missing(&reception, missing);
        int expected = ahead - 1 < FR_RECEPTION_HISTORY - 1 ? (int)ahead - 1 : FR_RECEPTION_HISTORY - 1;
        CHECK(count == expected && missing[count - 1] == 100 + ahead - 1);
        CHECK(fr_reception_lost(&reception) == ahead - 1);
    }
}

static void a_jump_is_a_new_beginning_and_not_loss(void)
{
    struct fr_reception reception = {0};

    receive(&reception, 40000);
    receive(&reception, 40000 + FR_RECEPTION_DROPOUT);
    CHECK(fr_reception_lost(&reception) == FR_RECEPTION_DROPOUT - 1);
    receive(&reception, 40000 + 2 * FR_RECEPTION_DROPOUT + 1);
    CHECK(fr_reception_lost(&reception) == FR_RECEPTION_DROPOUT - 1);
    CHECK(fr_reception_expected(&reception) == FR_RECEPTION_DROPOUT + 2);
}

static void a_late_beginning_is_expected_too(void)
{
    struct fr_reception reception = {0};

    receive(&reception, 10);
    receive(&reception, 8);
    CHECK(fr_reception_expected(&reception) == 3 && fr_reception_lost(&reception) == 1);
}

static void jitter_follows_the_spacing_of_arrivals(void)
{
    struct fr_reception reception = {0};

    for (uint32_t number = 0; number < 1000; number++)
        receive(&reception, number);
    CHECK(fr_reception_jitter(&reception) == 0);
    for (uint32_t number = 1000; number < 2000; number++)
        receive_late(&reception, number, number % 2 * 5000);
    /* 5 ms are 240 ticks, and each arrival differs from the one before by that */
    CHECK(fr_reception_jitter(&reception) >= 238 && fr_reception_jitter(&reception) <= 240);
}

static void hostile_timestamps_leave_jitter_a_number(void)
{
    struct fr_reception reception = {0};

    for (uint32_t number = 0; number < 10000; number++)
        fr_reception_count(&reception, (uint16_t)number, number % 2 * 0x80000000u, 0, number);
    CHECK(fr_reception_jitter(&reception) >= 0x7fff0000u && fr_reception_jitter(&reception) <= 0x80000000u);
}

int main(void)
{
    nothing_is_expected_of_a_stream_that_has_not_begun();
    what_does_not_come_is_lost_until_it_comes();
    what_is_missing_is_known_of_the_latest_alone();
    a_jump_is_a_new_beginning_and_not_loss();
    a_late_beginning_is_expected_too();
    jitter_follows_the_spacing_of_arrivals();
    hostile_timestamps_leave_jitter_a_number();
    return check_result();
}
