/* A log-linear histogram (as HdrHistogram's): 128 buckets an octave, so a value is known to 1/128 of itself (0.8 %);
 * values below 128 are exact. From 0 to 2^40 − 1 nanoseconds, which is 18 minutes; what is longer counts as that.
 *
 * Lives here: value to bucket, bucket to value, counting. Percentiles are the reader's (histogram.py).
 */
#ifndef FR_BENCH_HISTOGRAM_H
#define FR_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PART_BITS 7
#define HISTOGRAM_PARTS (1u << HISTOGRAM_PART_BITS)
#define HISTOGRAM_VALUE_BITS 40
#define HISTOGRAM_MAX ((1ull << HISTOGRAM_VALUE_BITS) - 1)
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_PART_BITS + 1) * HISTOGRAM_PARTS)

struct fr_histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
};

static inline unsigned fr_histogram_index(uint64_t value)
{
    value = value < HISTOGRAM_MAX ? value : HISTOGRAM_MAX;
    if (value < HISTOGRAM_PARTS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_PART_BITS;
    return (shift << HISTOGRAM_PART_BITS) + (unsigned)(value >> shift);
}

/* The largest value of a bucket: a percentile is never reported smaller than it was. */
static inline uint64_t fr_histogram_top(unsigned index)
{
    if (index < HISTOGRAM_PARTS)
        return index;
    unsigned shift = (index >> HISTOGRAM_PART_BITS) - 1;
    uint64_t part = index - (shift << HISTOGRAM_PART_BITS);
    return ((part + 1) << shift) - 1;
}

static inline void fr_histogram_add(struct fr_histogram *histogram, uint64_t value)
{
    histogram->counts[fr_histogram_index(value)]++;
}

#endif
