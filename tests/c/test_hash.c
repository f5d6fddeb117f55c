/* The keyed hash of bytes: all of them count, their number too, and none beyond is read. */
#include "flow/hash.h"

#include "check.h"

static const struct fr_hash_key key = {
    {0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u, 0x082efa98ec4e6c89u},
};

static uint64_t hash_of(const uint8_t *bytes, size_t length)
{
    uint8_t *exact = check_copy(bytes, length);
    uint64_t hashed = fr_hash_bytes(&key, exact, length);
    free(exact);
    return hashed;
}

static void every_bit_of_the_bytes_counts(void)
{
    uint8_t text[66] = "50 to 66 characters of a route token, and a few odd lengths more.";
    for (size_t length = 1; length <= sizeof text; length++) {
        uint64_t untouched = hash_of(text, length);
        for (size_t bit = 0; bit < 8 * length; bit++) {
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK((uint32_t)hash_of(text, length) != (uint32_t)untouched);
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void every_word_of_the_key_counts(void)
{
    static const uint8_t text[50] = "any token";
    uint64_t untouched = hash_of(text, sizeof text);
    for (unsigned word = 0; word < 4; word++) {
        struct fr_hash_key other = key;
        other.words[word] ^= 1;
        CHECK(fr_hash_bytes(&other, text, sizeof text) != untouched);
    }
}

static void zeroes_of_different_lengths_differ(void)
{
    static const uint8_t zeroes[66];
    for (size_t a = 0; a <= sizeof zeroes; a++)
        for (size_t b = 0; b < a; b++)
            CHECK(hash_of(zeroes, a) != hash_of(zeroes, b));
}

int main(void)
{
    every_bit_of_the_bytes_counts();
    every_word_of_the_key_counts();
    zeroes_of_different_lengths_differ();
    return check_result();
}
