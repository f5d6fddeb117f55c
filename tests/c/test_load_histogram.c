/* The load generator's histogram: every value finds its bucket, and a bucket is never wider than it says. */
#include "../../bench/load/callers/histogram.h"

#include "check.h"

static void small_values_are_exact(void)
{
    for (uint64_t value = 0; value < HISTOGRAM_PARTS; value++)
        CHECK(fr_histogram_top(fr_histogram_index(value)) == value);
}

static void a_value_is_known_to_one_part_in_128(void)
{
    for (unsigned bits = HISTOGRAM_PART_BITS; bits < HISTOGRAM_VALUE_BITS; bits++)
        for (uint64_t offset = 0; offset < 4096; offset++) {
            uint64_t value = (1ull << bits) + (offset * ((1ull << bits) / 4096 + 1)) % (1ull << bits);
            uint64_t top = fr_histogram_top(fr_histogram_index(value));
            CHECK(top >= value && top - value <= value >> HISTOGRAM_PART_BITS);
        }
}

static void buckets_follow_each_other_without_a_gap(void)
{
    for (unsigned index = 0; index + 1 < HISTOGRAM_BUCKETS; index++) {
        CHECK(fr_histogram_index(fr_histogram_top(index)) == index);
        CHECK(fr_histogram_index(fr_histogram_top(index) + 1) == index + 1);
    }
}

static void what_is_too_long_counts_as_the_longest(void)
{
    CHECK(fr_histogram_top(HISTOGRAM_BUCKETS - 1) == HISTOGRAM_MAX);
    CHECK(fr_histogram_index(HISTOGRAM_MAX) == HISTOGRAM_BUCKETS - 1);
    CHECK(fr_histogram_index(HISTOGRAM_MAX + 1) == HISTOGRAM_BUCKETS - 1);
    CHECK(fr_histogram_index(UINT64_MAX) == HISTOGRAM_BUCKETS - 1);
}

static void each_value_is_counted_once(void)
{
    struct fr_histogram *histogram = calloc(1, sizeof *histogram);
    uint64_t total = 0;
    if (!histogram)
        exit(2);
    for (uint64_t value = 1; value < 1ull << 50; value *= 3)
        fr_histogram_add(histogram, value);
    for (unsigned index = 0; index < HISTOGRAM_BUCKETS; index++)
        total += histogram->counts[index];
    CHECK(total == 32);
    CHECK(histogram->counts[1] == 1 && histogram->counts[81] == 1);
    free(histogram);
}

int main(void)
{
    small_values_are_exact();
    a_value_is_known_to_one_part_in_128();
    buckets_follow_each_other_without_a_gap();
    what_is_too_long_counts_as_the_longest();
    each_value_is_counted_once();
    return check_result();
}
