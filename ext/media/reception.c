/* Reception statistics. See reception.h. */
#include "media/reception.h"

#include <string.h>

#include "media/rtp.h"

void fr_reception_begin(struct fr_reception *reception, uint32_t ssrc)
{
    memset(reception, 0, sizeof(*reception));
    reception->ssrc = ssrc;
}

static void place(struct fr_reception *reception, uint64_t extended)
{
    if (extended > reception->highest) {
        uint64_t ahead = extended - reception->highest;

        if (ahead > FR_RECEPTION_DROPOUT)
            reception->first += ahead - 1; /* expects none of the gap */
        reception->history = ahead < FR_RECEPTION_HISTORY ? reception->history << ahead | 1 : 1;
        reception->highest = extended;
    } else if (reception->highest - extended < FR_RECEPTION_HISTORY) {
        reception->history |= (uint64_t)1 << (reception->highest - extended);
    }
    if (extended < reception->first)
        reception->first = extended;
}

uint64_t fr_reception_count(struct fr_reception *reception, uint16_t sequence, uint32_t timestamp, uint32_t octets,
                            uint64_t now_us)
{
    uint32_t transit = (uint32_t)(now_us * (FR_RTP_CLOCK_RATE / 1000) / 1000) - timestamp;
    uint64_t extended = sequence;

    if (reception->packets == 0) {
        reception->first = reception->highest = sequence;
        reception->history = 1;
    } else {
        /* RFC 3550 A.8, in sixteenths: what the spacing of arrivals differs from that of timestamps */
        uint32_t change = transit - reception->transit;

        extended = fr_rtp_extend_sequence(sequence, reception->highest);
        place(reception, extended);
        if (change > UINT32_MAX / 2)
            change = -change;
        reception->jitter_by_16 += change;
        reception->jitter_by_16 -= (reception->jitter_by_16 - change + 8) >> 4;
    }
    reception->transit = transit;
    reception->packets++;
    reception->octets += octets;
    return extended;
}

uint64_t fr_reception_expected(const struct fr_reception *reception)
{
    return reception->packets ? reception->highest - reception->first + 1 : 0;
}

uint64_t fr_reception_lost(const struct fr_reception *reception)
{
    uint64_t expected = fr_reception_expected(reception);

    return expected > reception->packets ? expected - reception->packets : 0;
}

uint32_t fr_reception_jitter(const struct fr_reception *reception)
{
    uint64_t jitter = reception->jitter_by_16 >> 4;

    return jitter < UINT32_MAX ? (uint32_t)jitter : UINT32_MAX;
}

int fr_reception_missing(const struct fr_reception *reception, uint16_t missing[FR_RECEPTION_HISTORY])
{
    uint64_t reach = reception->highest - reception->first;
    int count = 0;

    if (reach > FR_RECEPTION_HISTORY - 1)
        reach = FR_RECEPTION_HISTORY - 1;
    for (uint64_t back = reach; back > 0; back--)
        if (!(reception->history >> back & 1))
            missing[count++] = (uint16_t)(reception->highest - back);
    return count;
}
