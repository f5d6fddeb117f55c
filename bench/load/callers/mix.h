/* How large packets are: drawn by a seed into a table, so that the hot part is one load.
 *
 * Lives here: the stated distributions. Must not live here: what is in a packet.
 *
 * "voice" has the shape of Opus with variable bit rate and 20 ms frames; it is a stated mixture, not a recording:
 *   75 %  speech   60–140 bytes of Opus, a bell (sum of four even draws of 0–20)
 *   17 %  pause    14–30, even
 *    8 %  onset    140–220, even
 * and 22 bytes of RTP header and SRTP tag. The mean is 115 bytes, of which 93 are Opus: 37 kbit/s.
 */
#ifndef FR_BENCH_MIX_H
#define FR_BENCH_MIX_H

#include "../random.h"

#include <stdint.h>

#define MIX_SIZES 4096
#define MIX_RTP_AND_TAG 22

/* from == 0 is voice; else even from `from` to `to`. */
static inline void fr_mix_fill(uint16_t sizes[MIX_SIZES], uint64_t seed, unsigned from, unsigned to)
{
    uint64_t state = fr_draw_seed(seed);
    for (unsigned i = 0; i < MIX_SIZES; i++) {
        if (from) {
            sizes[i] = (uint16_t)(from + fr_draw(&state) % (to - from + 1));
            continue;
        }
        unsigned kind = (unsigned)((fr_draw(&state) >> 32) % 100), bytes;
        if (kind < 75) {
            bytes = 60;
            for (int part = 0; part < 4; part++)
                bytes += (unsigned)((fr_draw(&state) >> 32) % 21);
        } else if (kind < 92) {
            bytes = 14 + (unsigned)((fr_draw(&state) >> 32) % 17);
        } else {
            bytes = 140 + (unsigned)((fr_draw(&state) >> 32) % 81);
        }
        sizes[i] = (uint16_t)(bytes + MIX_RTP_AND_TAG);
    }
}

#endif
