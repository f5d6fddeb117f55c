/* The keyed hash of an address, or of a short text: folded multiplications under a secret.
 *
 * Attackers choose client addresses. Without the secret they cannot choose which of them
 * collide; with it the table still bounds every probe run (FR_PROBES). A folded multiply is
 * about 15 instructions, where a cryptographic hash would be half of a packet's whole budget.
 */
#ifndef FR_FLOW_HASH_H
#define FR_FLOW_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire/address.h"

struct fr_hash_key {
    uint64_t words[4]; /* random, made with the page */
};

static inline uint64_t fr_hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    /* no instruction: GCC would else take the halves through memory, as one value of 16 bytes */
    __asm__("" : "+r"(high), "+r"(low));
    return high ^ low;
}

static inline uint64_t fr_hash_words(const struct fr_hash_key *key, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t mixed = fr_hash_fold(a ^ key->words[0], b ^ key->words[1]);
    return fr_hash_fold(mixed ^ c ^ key->words[2], key->words[3] ^ b);
}

static inline uint64_t fr_hash_address(const struct fr_hash_key *key, const struct fr_address *address)
{
    return fr_hash_words(key, address->low, address->endpoint, address->high);
}

/* Of bytes that need no alignment, read exactly: the last word is filled with zeroes, and the length tells it apart. */
static inline uint64_t fr_hash_bytes(const struct fr_hash_key *key, const void *bytes, size_t length)
{
    const uint8_t *at = (const uint8_t *)bytes;
    uint64_t mixed = key->words[3], word;
    size_t left = length;

    for (; left >= sizeof word; at += sizeof word, left -= sizeof word) {
        memcpy(&word, at, sizeof word);
        mixed = fr_hash_fold(mixed ^ word, key->words[1]);
    }
    word = 0;
    if (left)
        memcpy(&word, at, left);
    return fr_hash_words(key, mixed, word, length);
}

#endif
