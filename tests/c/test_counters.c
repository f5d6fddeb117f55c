/* The counter page: histogram buckets rise, are never wrong by more than an eighth, and verdicts count once. */
#include "counters.h"

#include "check.h"

/* The smallest value that falls into a bucket, from the definition: eight buckets an octave. */
static uint64_t bucket_start(unsigned bucket)
{
    return bucket < 16 ? bucket : (uint64_t)(8 + bucket % 8) << (bucket / 8 - 1);
}

static void every_bucket_begins_where_its_definition_says(void)
{
    for (unsigned bucket = 0; bucket < FR_HISTOGRAM_BUCKETS; bucket++) {
        CHECK(fr_histogram_bucket(bucket_start(bucket)) == bucket);
        CHECK(bucket == 0 || fr_histogram_bucket(bucket_start(bucket) - 1) == bucket - 1);
    }
}

static void buckets_rise_with_their_values(void)
{
    unsigned previous = 0;
    for (uint64_t value = 0; value < 100000; value++) {
        unsigned bucket = fr_histogram_bucket(value);
        CHECK(bucket == previous || bucket == previous + 1);
        previous = bucket;
    }
    for (unsigned bit = 3; bit < 64; bit++)
        for (int off = -1; off <= 0; off++)
            CHECK(fr_histogram_bucket((1ULL << bit) + (uint64_t)off) <= fr_histogram_bucket((1ULL << bit) + 1));
}

static void a_bucket_is_wrong_by_an_eighth_at_most(void)
{
    for (uint64_t value = 1; value < 1ULL << 40; value += value / 100 + 1) {
        unsigned bucket = fr_histogram_bucket(value);
        uint64_t width = bucket_start(bucket + 1) - bucket_start(bucket);
        CHECK(value >= bucket_start(bucket) && value - bucket_start(bucket) < width);
        CHECK(width == 1 || width * 8 <= value);
    }
}

static void what_is_too_long_falls_into_the_last(void)
{
    CHECK(fr_histogram_bucket(1ULL << 40) < FR_HISTOGRAM_BUCKETS - 1);
    CHECK(fr_histogram_bucket(1ULL << 50) == FR_HISTOGRAM_BUCKETS - 1);
    CHECK(fr_histogram_bucket(UINT64_MAX) == FR_HISTOGRAM_BUCKETS - 1);
}

static uint64_t total(const uint64_t histogram[FR_HISTOGRAM_BUCKETS])
{
    uint64_t sum = 0;
    for (unsigned bucket = 0; bucket < FR_HISTOGRAM_BUCKETS; bucket++)
        sum += histogram[bucket];
    return sum;
}

static void a_hop_counts_once_and_only_forwards_in_time(void)
{
    static struct fr_counters counters;
    fr_count_hop(counters.hop_up_ns, 0);
    fr_count_hop(counters.hop_up_ns, UINT64_MAX);
    CHECK(total(counters.hop_up_ns) == 0);
    fr_count_hop(counters.hop_up_ns, fr_realtime_ns() - 1000000);
    CHECK(total(counters.hop_up_ns) == 1);
    for (unsigned bucket = 0; bucket < fr_histogram_bucket(1000000); bucket++)
        CHECK(counters.hop_up_ns[bucket] == 0);
    CHECK(total(counters.hop_down_ns) == 0);
}

static void a_verdict_counts_packets_and_bytes(void)
{
    static struct fr_counters counters;
    fr_count_verdict(&counters, FR_DOWN_TABLE_FULL, 100);
    fr_count_verdict(&counters, FR_DOWN_TABLE_FULL, 60);
    CHECK(counters.verdict_packets[FR_DOWN_TABLE_FULL] == 2 && counters.verdict_bytes[FR_DOWN_TABLE_FULL] == 160);
    CHECK(counters.verdict_packets[FR_DOWN_TABLE_FULL - 1] == 0);
}

int main(void)
{
    every_bucket_begins_where_its_definition_says();
    buckets_rise_with_their_values();
    a_bucket_is_wrong_by_an_eighth_at_most();
    what_is_too_long_falls_into_the_last();
    a_hop_counts_once_and_only_forwards_in_time();
    a_verdict_counts_packets_and_bytes();
    return check_result();
}
