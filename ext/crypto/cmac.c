/* AES-128-CMAC in two ways: the processor's AES where it has it, else libcrypto's. See cmac.h. */
#define OPENSSL_SUPPRESS_DEPRECATED /* EVP's AES would keep a context on the heap; AES_encrypt needs the key alone */
#include "crypto/cmac.h"

#include <openssl/crypto.h>
#include <string.h>

/* --- libcrypto -------------------------------------------------------------- */

static void portable_block(const struct fr_cmac_key *key, uint8_t state[FR_CMAC_BLOCK], const uint8_t *block)
{
    for (unsigned i = 0; i < FR_CMAC_BLOCK; i++)
        state[i] ^= block[i];
    AES_encrypt(state, state, &key->portable);
}

static void portable_last(const struct fr_cmac_key *key, uint8_t state[FR_CMAC_BLOCK], const uint8_t *at, size_t length)
{
    uint8_t block[FR_CMAC_BLOCK] = {0};
    const uint8_t *subkey = length == FR_CMAC_BLOCK ? key->whole : key->padded;

    if (length)
        memcpy(block, at, length);
    if (length < FR_CMAC_BLOCK)
        block[length] = 0x80;
    for (unsigned i = 0; i < FR_CMAC_BLOCK; i++)
        block[i] ^= subkey[i];
    portable_block(key, state, block);
}

static void portable_rest(const struct fr_cmac_key *key, uint8_t state[FR_CMAC_BLOCK], const uint8_t *at, size_t length)
{
    for (; length > FR_CMAC_BLOCK; at += FR_CMAC_BLOCK, length -= FR_CMAC_BLOCK)
        portable_block(key, state, at);
    portable_last(key, state, at, length);
}

/* Out of line: where the processor has AES, the caller stays small. */
__attribute__((noinline)) static uint64_t portable_carried(const struct fr_cmac_key *key, const uint8_t *message,
                                                           size_t length)
{
    uint8_t state[FR_CMAC_BLOCK] = {0}, second[FR_CMAC_BLOCK] = {0};
    uint64_t mac;

    memcpy(second, message + FR_CMAC_BLOCK, FR_CMAC_FIELD_AT - FR_CMAC_BLOCK);
    portable_block(key, state, message);
    if (length == FR_CMAC_CARRIER_MIN) {
        portable_last(key, state, second, FR_CMAC_BLOCK);
    } else {
        portable_block(key, state, second);
        portable_rest(key, state, message + FR_CMAC_CARRIER_MIN, length - FR_CMAC_CARRIER_MIN);
    }
    memcpy(&mac, state, sizeof mac);
    return mac;
}

/* --- the processor's AES ---------------------------------------------------- */

#ifdef __x86_64__
#include <wmmintrin.h>

#define WITH_AES __attribute__((target("aes")))
#define WITH_AES_INLINE WITH_AES __attribute__((always_inline)) static inline

static bool has_hardware(void)
{
    return __builtin_cpu_supports("aes");
}

/* FIPS 197 section 5.2, one round key from the one before. */
WITH_AES_INLINE __m128i next_round(__m128i round, __m128i assist)
{
    assist = _mm_shuffle_epi32(assist, 0xff);
    round = _mm_xor_si128(round, _mm_slli_si128(round, 4));
    round = _mm_xor_si128(round, _mm_slli_si128(round, 8));
    return _mm_xor_si128(round, assist);
}

/* A macro because the round constant is part of the instruction. */
#define EXPAND(number, constant) \
    round = next_round(round, _mm_aeskeygenassist_si128(round, constant)); \
    _mm_store_si128((__m128i *)key->rounds[number], round)

WITH_AES static void hardware_expand(struct fr_cmac_key *key, const uint8_t bytes[FR_CMAC_KEY])
{
    __m128i round = _mm_loadu_si128((const __m128i *)bytes);

    _mm_store_si128((__m128i *)key->rounds[0], round);
    EXPAND(1, 0x01);
    EXPAND(2, 0x02);
    EXPAND(3, 0x04);
    EXPAND(4, 0x08);
    EXPAND(5, 0x10);
    EXPAND(6, 0x20);
    EXPAND(7, 0x40);
    EXPAND(8, 0x80);
    EXPAND(9, 0x1b);
    EXPAND(10, 0x36);
}

/* The round keys, in registers from the first block of a message to its last. */
struct rounds {
    __m128i r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10;
};

WITH_AES_INLINE struct rounds load_rounds(const struct fr_cmac_key *key)
{
    const __m128i *at = (const __m128i *)key->rounds;
    return (struct rounds){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8], at[9], at[10]};
}

WITH_AES_INLINE __m128i encrypt(const struct rounds *rounds, __m128i state)
{
    state = _mm_xor_si128(state, rounds->r0);
    state = _mm_aesenc_si128(state, rounds->r1);
    state = _mm_aesenc_si128(state, rounds->r2);
    state = _mm_aesenc_si128(state, rounds->r3);
    state = _mm_aesenc_si128(state, rounds->r4);
    state = _mm_aesenc_si128(state, rounds->r5);
    state = _mm_aesenc_si128(state, rounds->r6);
    state = _mm_aesenc_si128(state, rounds->r7);
    state = _mm_aesenc_si128(state, rounds->r8);
    state = _mm_aesenc_si128(state, rounds->r9);
    return _mm_aesenclast_si128(state, rounds->r10);
}

/* A last block of another length than the trunk has. Nothing beyond it is read, so it is put together first. Out of line,
 * because the call would cost every message the registers its rounds are in. */
WITH_AES __attribute__((noinline)) static __m128i encrypt_odd(const struct fr_cmac_key *key, __m128i state,
                                                              const uint8_t *at, size_t length)
{
    uint8_t block[FR_CMAC_BLOCK] = {0};
    const struct rounds rounds = load_rounds(key);

    if (length)
        memcpy(block, at, length);
    block[length] = 0x80;
    state = _mm_xor_si128(state, *(const __m128i *)key->padded);
    return encrypt(&rounds, _mm_xor_si128(state, _mm_loadu_si128((const __m128i *)block)));
}

WITH_AES_INLINE __m128i encrypt_last(const struct fr_cmac_key *key, const struct rounds *rounds, __m128i state,
                                     const uint8_t *at, size_t length)
{
    __m128i block;

    if (length == FR_CMAC_BLOCK) {
        block = _mm_xor_si128(_mm_loadu_si128((const __m128i *)at), *(const __m128i *)key->whole);
    } else if (length == 8) { /* frame headers and HELLO bodies come in eights */
        block = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)at), _mm_cvtsi32_si128(0x80));
        block = _mm_xor_si128(block, *(const __m128i *)key->padded);
    } else {
        return encrypt_odd(key, state, at, length);
    }
    return encrypt(rounds, _mm_xor_si128(state, block));
}

/* At least one byte. */
WITH_AES_INLINE __m128i encrypt_rest(const struct fr_cmac_key *key, const struct rounds *rounds, __m128i state,
                                     const uint8_t *at, size_t length)
{
    size_t before = length - 1;

    for (const uint8_t *last = at + (before & ~(size_t)15); at != last; at += FR_CMAC_BLOCK)
        state = encrypt(rounds, _mm_xor_si128(state, _mm_loadu_si128((const __m128i *)at)));
    return encrypt_last(key, rounds, state, at, (before & 15) + 1);
}

WITH_AES static uint64_t hardware_carried(const struct fr_cmac_key *key, const uint8_t *message, size_t length)
{
    const struct rounds rounds = load_rounds(key);
    __m128i state = encrypt(&rounds, _mm_loadu_si128((const __m128i *)message));

    /* a load of eight bytes leaves zeroes where the MAC stands */
    state = _mm_xor_si128(state, _mm_loadl_epi64((const __m128i *)(message + FR_CMAC_BLOCK)));
    if (length == FR_CMAC_CARRIER_MIN)
        state = encrypt(&rounds, _mm_xor_si128(state, *(const __m128i *)key->whole));
    else
        state = encrypt_rest(key, &rounds, encrypt(&rounds, state), message + FR_CMAC_CARRIER_MIN,
                             length - FR_CMAC_CARRIER_MIN);
    return (uint64_t)_mm_cvtsi128_si64(state);
}

WITH_AES static void hardware_whole(const struct fr_cmac_key *key, const uint8_t *message, size_t length, uint8_t *mac)
{
    const struct rounds rounds = load_rounds(key);
    __m128i state = _mm_setzero_si128();

    state = length ? encrypt_rest(key, &rounds, state, message, length) : encrypt_odd(key, state, message, 0);
    _mm_storeu_si128((__m128i *)mac, state);
}

/* Without subkeys: what they are made from. */
WITH_AES static void hardware_encrypt(const struct fr_cmac_key *key, uint8_t block[FR_CMAC_BLOCK])
{
    const struct rounds rounds = load_rounds(key);
    _mm_storeu_si128((__m128i *)block, encrypt(&rounds, _mm_loadu_si128((const __m128i *)block)));
}

#else

static bool has_hardware(void)
{
    return false;
}

static void hardware_expand(struct fr_cmac_key *key, const uint8_t bytes[FR_CMAC_KEY])
{
    (void)key, (void)bytes;
}

static void hardware_encrypt(const struct fr_cmac_key *key, uint8_t block[FR_CMAC_BLOCK])
{
    (void)key, (void)block;
}

static uint64_t hardware_carried(const struct fr_cmac_key *key, const uint8_t *message, size_t length)
{
    return portable_carried(key, message, length);
}

static void hardware_whole(const struct fr_cmac_key *key, const uint8_t *message, size_t length, uint8_t *mac)
{
    memset(mac, 0, FR_CMAC_BLOCK);
    portable_rest(key, mac, message, length);
}

#endif

/* --- both ------------------------------------------------------------------- */

/* RFC 4493 section 2.3: times x in GF(2^128). Without a branch on what is secret. */
static void doubled(const uint8_t in[FR_CMAC_BLOCK], uint8_t out[FR_CMAC_BLOCK])
{
    for (unsigned i = 0; i + 1 < FR_CMAC_BLOCK; i++)
        out[i] = (uint8_t)(in[i] << 1 | in[i + 1] >> 7);
    out[15] = (uint8_t)(in[15] << 1 ^ (0x87 & -(in[0] >> 7)));
}

void fr_cmac_open(struct fr_cmac_key *key, const uint8_t bytes[FR_CMAC_KEY], enum fr_cmac_way way)
{
    uint8_t zero[FR_CMAC_BLOCK] = {0};

    memset(key, 0, sizeof *key);
    key->is_hardware = way == FR_CMAC_FASTEST && has_hardware();
    if (key->is_hardware) {
        hardware_expand(key, bytes);
        hardware_encrypt(key, zero);
    } else {
        AES_set_encrypt_key(bytes, 8 * FR_CMAC_KEY, &key->portable);
        AES_encrypt(zero, zero, &key->portable);
    }
    doubled(zero, key->whole);
    doubled(key->whole, key->padded);
    OPENSSL_cleanse(zero, sizeof zero);
}

uint64_t fr_cmac_carried(const struct fr_cmac_key *key, const uint8_t *message, size_t length)
{
    return key->is_hardware ? hardware_carried(key, message, length) : portable_carried(key, message, length);
}

void fr_cmac(const struct fr_cmac_key *key, const uint8_t *message, size_t length, uint8_t mac[FR_CMAC_BLOCK])
{
    if (key->is_hardware) {
        hardware_whole(key, message, length, mac);
        return;
    }
    memset(mac, 0, FR_CMAC_BLOCK);
    portable_rest(key, mac, message, length);
}
