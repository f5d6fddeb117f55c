/* SipHash-2-4 with a 64-bit result (Aumasson and Bernstein, 2012).
 *
 * Lives here: the keyed hash behind the trunk's MAC, over two pieces of memory, so
 * that a header and what follows its MAC field need not be copied together.
 * Must not live here: what is hashed, and the comparison of MACs (trunk/bundle.h).
 */
#ifndef FR_CRYPTO_SIPHASH_H
#define FR_CRYPTO_SIPHASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fr_siphash {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t fr_siphash_load(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    return le64toh(word);
}

#define FR_ROTATE_LEFT(word, bits) (((word) << (bits)) | ((word) >> (64 - (bits))))

static inline void fr_siphash_round(struct fr_siphash *state)
{
    state->v0 += state->v1;
    state->v1 = FR_ROTATE_LEFT(state->v1, 13) ^ state->v0;
    state->v0 = FR_ROTATE_LEFT(state->v0, 32);
    state->v2 += state->v3;
    state->v3 = FR_ROTATE_LEFT(state->v3, 16) ^ state->v2;
    state->v0 += state->v3;
    state->v3 = FR_ROTATE_LEFT(state->v3, 21) ^ state->v0;
    state->v2 += state->v1;
    state->v1 = FR_ROTATE_LEFT(state->v1, 17) ^ state->v2;
    state->v2 = FR_ROTATE_LEFT(state->v2, 32);
}

static inline void fr_siphash_word(struct fr_siphash *state, uint64_t word)
{
    state->v3 ^= word;
    fr_siphash_round(state);
    fr_siphash_round(state);
    state->v0 ^= word;
}

/* The hash of head || body. head_length is a multiple of eight: only the body may end inside a word. */
static inline uint64_t fr_siphash(const uint8_t key[16], const uint8_t *head, size_t head_length, const uint8_t *body,
                                  size_t body_length)
{
    uint64_t k0 = fr_siphash_load(key), k1 = fr_siphash_load(key + 8);
    struct fr_siphash state = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                               k1 ^ 0x7465646279746573u};
    for (size_t i = 0; i < head_length; i += 8)
        fr_siphash_word(&state, fr_siphash_load(head + i));
    size_t whole = body_length & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        fr_siphash_word(&state, fr_siphash_load(body + i));
    uint64_t last = (uint64_t)(head_length + body_length) << 56;
    for (size_t i = whole; i < body_length; i++)
        last |= (uint64_t)body[i] << (8 * (i - whole));
    fr_siphash_word(&state, last);
    state.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        fr_siphash_round(&state);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

#endif
