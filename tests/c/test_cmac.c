/* AES-128-CMAC against RFC 4493's vectors, both ways against each other, on buffers of their exact size. */
#include "crypto/cmac.h"

#include "check.h"

enum { LENGTHS = 200 };

static const char rfc_key[] = "2b7e151628aed2a6abf7158809cf4f3c";
static const char rfc_message[] = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                                  "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

/* RFC 4493 section 4. */
static const struct {
    size_t length;
    const char *mac;
} rfc_examples[] = {
    {0, "bb1d6929e95937287fa37d129b756746"},
    {16, "070a16b46b4d4144f79bdd9dd04a287c"},
    {40, "dfa66747de9ae63030ca32611497c827"},
    {64, "51f0bebf7e3b9d92fc49741779363cfe"},
};

static const enum fr_cmac_way ways[] = {FR_CMAC_FASTEST, FR_CMAC_PORTABLE};
static uint8_t message[LENGTHS + 16];
static struct fr_cmac_key fastest, portable;

static void from_hex(const char *digits, uint8_t *bytes)
{
    for (size_t i = 0; digits[2 * i]; i++) {
        unsigned byte;
        CHECK(sscanf(digits + 2 * i, "%2x", &byte) == 1);
        bytes[i] = (uint8_t)byte;
    }
}

static bool matches(const uint8_t *bytes, const char *digits)
{
    uint8_t expected[FR_CMAC_BLOCK];
    from_hex(digits, expected);
    return memcmp(bytes, expected, sizeof expected) == 0;
}

/* xorshift64: the same numbers in every run. */
static uint64_t drawn(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void draw_key_and_message(void)
{
    uint8_t bytes[FR_CMAC_KEY];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(drawn() >> 32);
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)(drawn() >> 32);
    fr_cmac_open(&fastest, bytes, FR_CMAC_FASTEST);
    fr_cmac_open(&portable, bytes, FR_CMAC_PORTABLE);
}

static void the_rfcs_examples_are_met_both_ways(void)
{
    uint8_t key[FR_CMAC_KEY], text[64], mac[FR_CMAC_BLOCK];
    from_hex(rfc_key, key);
    from_hex(rfc_message, text);
    for (size_t way = 0; way < 2; way++) {
        struct fr_cmac_key opened;
        fr_cmac_open(&opened, key, ways[way]);
        CHECK(matches(opened.whole, "fbeed618357133667c85e08f7236a8de"));
        CHECK(matches(opened.padded, "f7ddac306ae266ccf90bc11ee46d513b"));
        for (size_t i = 0; i < sizeof rfc_examples / sizeof *rfc_examples; i++) {
            uint8_t *exact = check_copy(text, rfc_examples[i].length);
            fr_cmac(&opened, exact, rfc_examples[i].length, mac);
            CHECK(matches(mac, rfc_examples[i].mac));
            free(exact);
        }
    }
}

static void the_way_asked_for_is_taken(void)
{
    CHECK(!portable.is_hardware);
#ifdef __x86_64__
    CHECK(fastest.is_hardware == (__builtin_cpu_supports("aes") != 0));
#endif
}

static void both_ways_agree_at_every_length(void)
{
    for (size_t length = 0; length <= LENGTHS; length++) {
        uint8_t a[FR_CMAC_BLOCK], b[FR_CMAC_BLOCK], *exact;
        draw_key_and_message();
        exact = check_copy(message, length);
        fr_cmac(&fastest, exact, length, a);
        fr_cmac(&portable, exact, length, b);
        CHECK(memcmp(a, b, sizeof a) == 0);
        free(exact);
    }
}

/* The MAC that a message carries is the start of the MAC of the message with zeroes in its place. */
static void a_carried_mac_is_taken_as_zeroes(void)
{
    for (size_t length = FR_CMAC_CARRIER_MIN; length <= LENGTHS; length++) {
        uint8_t mac[FR_CMAC_BLOCK], *exact;
        uint64_t expected;
        draw_key_and_message();
        exact = check_copy(message, length);
        uint64_t hardware = fr_cmac_carried(&fastest, exact, length);
        uint64_t software = fr_cmac_carried(&portable, exact, length);
        memset(exact + FR_CMAC_FIELD_AT, 0, FR_CMAC_FIELD);
        fr_cmac(&portable, exact, length, mac);
        memcpy(&expected, mac, sizeof expected);
        CHECK(hardware == expected && software == expected);
        free(exact);
    }
}

static void memory_need_not_be_aligned(void)
{
    uint8_t shifted[LENGTHS + 16];
    for (size_t shift = 1; shift < 16; shift++) {
        memcpy(shifted + shift, message, 104);
        CHECK(fr_cmac_carried(&fastest, shifted + shift, 104) == fr_cmac_carried(&fastest, message, 104));
        CHECK(fr_cmac_carried(&portable, shifted + shift, 104) == fr_cmac_carried(&fastest, message, 104));
    }
}

static void every_bit_counts_but_those_of_the_carried_mac(void)
{
    uint64_t untouched = fr_cmac_carried(&fastest, message, 101);
    for (unsigned bit = 0; bit < 8 * 101; bit++) {
        bool is_mac = bit / 8 >= FR_CMAC_FIELD_AT && bit / 8 < FR_CMAC_FIELD_AT + FR_CMAC_FIELD;
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK((fr_cmac_carried(&fastest, message, 101) == untouched) == is_mac);
        CHECK((fr_cmac_carried(&portable, message, 101) == untouched) == is_mac);
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* The key ring copies its keys, and wipes them. */
static void a_copied_key_is_the_key(void)
{
    struct fr_cmac_key copy = fastest, copy_portable = portable;
    CHECK(fr_cmac_carried(&copy, message, 96) == fr_cmac_carried(&fastest, message, 96));
    CHECK(fr_cmac_carried(&copy_portable, message, 96) == fr_cmac_carried(&fastest, message, 96));
}

int main(void)
{
    draw_key_and_message();
    the_rfcs_examples_are_met_both_ways();
    the_way_asked_for_is_taken();
    both_ways_agree_at_every_length();
    a_carried_mac_is_taken_as_zeroes();
    memory_need_not_be_aligned();
    every_bit_counts_but_those_of_the_carried_mac();
    a_copied_key_is_the_key();
    return check_result();
}
