/* SipHash-2-4 against its authors' reference vectors, on buffers of their exact size and cut at every border. */
#include "crypto/siphash.h"

#include "check.h"

/* Key 00..0f, message of n bytes 00..n-1, for n from 0 to 63; each result as its bytes stand in memory. */
static const char reference[] =
    "310e0edd47db6f72" "fd67dc93c539f874" "5a4fa9d909806c0d" "2d7efbd796666785" "b7877127e09427cf"
    "8da699cd64557618" "cee3fe586e46c9cb" "37d1018bf50002ab" "6224939a79f5f593" "b0e4a90bdf82009e"
    "f3b9dd94c5bb5d7a" "a7ad6b22462fb3f4" "fbe50e86bc8f1e75" "903d84c02756ea14" "eef27a8e90ca23f7"
    "e545be4961ca29a1" "db9bc2577fcc2a3f" "9447be2cf5e99a69" "9cd38d96f0b3c14b" "bd6179a71dc96dbb"
    "98eea21af25cd6be" "c7673b2eb0cbf2d0" "883ea3e395675393" "c8ce5ccd8c030ca8" "94af49f6c650adb8"
    "eab8858ade92e1bc" "f315bb5bb835d817" "adcf6b0763612e2f" "a5c91da7acaa4dde" "716595876650a2a6"
    "28ef495c53a387ad" "42c341d8fa92d832" "ce7cf2722f512771" "e37859f94623f3a7" "381205bb1ab0e012"
    "ae97a10fd434e015" "b4a31508beff4d31" "81396229f0907902" "4d0cf49ee5d4dcca" "5c73336a76d8bf9a"
    "d0a704536ba93e0e" "925958fcd6420cad" "a915c29bc8067318" "952b79f3bc0aa6d4" "f21df2e41d4535f9"
    "87577519048f53a9" "10a56cf5dfcd9adb" "eb75095ccd986cd0" "51a9cb9ecba312e6" "96afadfc2ce666c7"
    "72fe52975a4364ee" "5a1645b276d592a1" "b274cb8ebf87870a" "6f9bb4203de7b381" "eaecb2a30b22a87f"
    "9924a43cc1315724" "bd838d3aafbf8db7" "0b1a2a3265d51aea" "135079a3231ce660" "932b2846e4d70666"
    "e1915f5cb1eca46c" "f325965ca16d629f" "575ff28e60381be5" "724506eb4c328a95";

enum { LENGTHS = 64 };

static uint8_t key[16], message[1024];

static uint64_t expected_for(size_t length)
{
    uint64_t value = 0;
    for (unsigned byte = 0; byte < 8; byte++) {
        unsigned digits;
        CHECK(sscanf(reference + 16 * length + 2 * byte, "%2x", &digits) == 1);
        value |= (uint64_t)digits << 8 * byte;
    }
    return value;
}

static uint64_t hash_split(const uint8_t *bytes, size_t head_length, size_t length)
{
    uint8_t *head = check_copy(bytes, head_length), *body = check_copy(bytes + head_length, length - head_length);
    uint64_t value = fr_siphash(key, head, head_length, body, length - head_length);
    free(head);
    free(body);
    return value;
}

static void every_reference_vector_is_met(void)
{
    CHECK(sizeof reference == 16 * LENGTHS + 1);
    for (size_t length = 0; length < LENGTHS; length++)
        CHECK(hash_split(message, 0, length) == expected_for(length));
}

static void the_papers_example_is_met(void)
{
    CHECK(hash_split(message, 0, 15) == 0xa129ca6149be45e5u);
}

/* The trunk's use: 24 bytes of header, then frame headers that lie behind the MAC. */
static void where_head_and_body_meet_does_not_matter(void)
{
    for (size_t length = 0; length < LENGTHS; length++)
        for (size_t head_length = 0; head_length <= length; head_length += 8)
            CHECK(hash_split(message, head_length, length) == expected_for(length));
}

static void memory_need_not_be_aligned(void)
{
    uint8_t shifted[LENGTHS + 8];
    for (size_t shift = 1; shift < 8; shift++) {
        memcpy(shifted + shift, message, LENGTHS);
        CHECK(fr_siphash(key, shifted + shift, 24, shifted + shift + 24, 39) == expected_for(63));
    }
}

static void every_bit_of_key_and_message_counts(void)
{
    uint64_t untouched = hash_split(message, 24, 61);
    for (unsigned bit = 0; bit < 8 * 61; bit++) {
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(hash_split(message, 24, 61) != untouched);
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (unsigned bit = 0; bit < 8 * sizeof key; bit++) {
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(hash_split(message, 24, 61) != untouched);
        key[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* The last word holds the length modulo 256 alone: the words before it must tell these apart. */
static void zeroes_of_different_lengths_differ(void)
{
    static const uint8_t zeroes[1024];
    const size_t lengths[] = {0, 1, 7, 8, 9, 255, 256, 257, 512, 1024};
    for (size_t a = 0; a < sizeof lengths / sizeof *lengths; a++)
        for (size_t b = 0; b < a; b++)
            CHECK(hash_split(zeroes, 0, lengths[a]) != hash_split(zeroes, 0, lengths[b]));
}

int main(void)
{
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    memcpy(key, message, sizeof key);
    every_reference_vector_is_met();
    the_papers_example_is_met();
    where_head_and_body_meet_does_not_matter();
    memory_need_not_be_aligned();
    every_bit_of_key_and_message_counts();
    zeroes_of_different_lengths_differ();
    return check_result();
}
