/* As much of STUN (RFC 8489 §5) as a generator needs: what kind of message this is, and the shortest success answer.
 * Lives here: the first 20 bytes. Must not live here: attributes; the checks come ready from the harness.
 */
#ifndef FR_BENCH_STUN_H
#define FR_BENCH_STUN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STUN_HEADER 20

enum fr_stun_kind { STUN_NONE, STUN_REQUEST, STUN_SUCCESS, STUN_ERROR };

static inline enum fr_stun_kind fr_stun_kind_of(const uint8_t *packet, uint32_t length)
{
    static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};
    if (length < STUN_HEADER || packet[0] > 3 || memcmp(packet + 4, cookie, sizeof cookie) != 0)
        return STUN_NONE;
    /* the class is bits 8 and 4 of the type */
    bool high = packet[0] & 1, low = packet[1] & 0x10;
    return high ? low ? STUN_ERROR : STUN_SUCCESS : low ? STUN_NONE : STUN_REQUEST;
}

static inline void fr_stun_answer(const uint8_t *request, uint8_t answer[STUN_HEADER])
{
    memcpy(answer, request, STUN_HEADER);
    answer[0] |= 1;
    answer[2] = answer[3] = 0;
}

#endif
