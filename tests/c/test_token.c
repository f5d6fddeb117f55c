/* Sealing and opening on texts of their exact size; the vectors are those of tests/data/token_vectors.json. */
#include "route/token.h"

#include <arpa/inet.h>
#include <errno.h>

#include "check.h"

static const char vector_v4[] = "H+UDb8DN0PMdHLQbkOUCcy6o++GolmU7V16pcmLV8fV5lmDqQQ";
static const char password_v4[] = "/WMUhwbAqrxXD79yR9oL1a38";
static const char vector_v6[] = "Hw2ysRd+QLe6cFBzyZWFU8B1NVDBxxbUU1hpBAUjieoeS8GFpRBzghM+SqdT6KKulw";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum { KEY_ID = 15 };

static struct fr_token_codec codec;
static struct fr_keyring ring;

static struct fr_token sample_v4(void)
{
    return (struct fr_token){
        .cluster = 7,
        .session_id = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
        .minted_at_s = 1800000000,
        .transceiver = fr_address_v4(htonl(0x0a000007), htons(4000)),
    };
}

static struct fr_token sample_v6(void)
{
    static const uint8_t address[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    struct fr_token token = sample_v4();
    memcpy(&token.transceiver.high, address, 8);
    memcpy(&token.transceiver.low, address + 8, 8);
    return token;
}

static bool is_same(const struct fr_token *a, const struct fr_token *b)
{
    return a->cluster == b->cluster && memcmp(a->session_id, b->session_id, FR_SESSION_ID_LENGTH) == 0 &&
           a->minted_at_s == b->minted_at_s && fr_address_equal(&a->transceiver, &b->transceiver);
}

static int open_text(unsigned key_id, const void *bytes, size_t length, struct fr_token *out)
{
    char *text = (char *)check_copy(bytes, length);
    int result = fr_token_open(&codec, fr_keyring_find(&ring, key_id), text, length, out);
    free(text);
    return result;
}

static int key_id_of(const void *bytes, size_t length)
{
    char *text = (char *)check_copy(bytes, length);
    int result = fr_token_key_id(text, length);
    free(text);
    return result;
}

static void a_token_is_sealed_as_published_and_opens(void)
{
    const struct { const char *text; struct fr_token token; } rows[] = {
        {vector_v4, sample_v4()},
        {vector_v6, sample_v6()},
    };
    for (size_t row = 0; row < 2; row++) {
        char text[FR_TOKEN_TEXT_MAX];
        struct fr_token opened;
        size_t length = strlen(rows[row].text);
        memset(text, '#', sizeof text);
        CHECK(fr_token_seal(&codec, &ring, KEY_ID, &rows[row].token, text) == (int)length);
        CHECK(memcmp(text, rows[row].text, length) == 0);
        CHECK(text[length] == '#');
        CHECK(key_id_of(text, length) == KEY_ID);
        CHECK(open_text(KEY_ID, text, length, &opened) == 0);
        CHECK(is_same(&opened, &rows[row].token));
    }
}

static void the_password_follows_from_the_text(void)
{
    char password[FR_ICE_PASSWORD_LENGTH];
    const struct fr_key *key = fr_keyring_find(&ring, KEY_ID);
    CHECK(fr_token_ice_password(&codec, key, vector_v4, FR_TOKEN_TEXT_V4, password) == 0);
    CHECK(memcmp(password, password_v4, sizeof password) == 0);
    CHECK(fr_token_ice_password(&codec, key, vector_v6, FR_TOKEN_TEXT_V6, password) == 0);
    CHECK(memcmp(password, password_v4, sizeof password) != 0);
}

/* A change in the header's first digit may make the shape wrong; any other is a forgery. */
static void any_changed_bit_is_refused_and_writes_nothing(void)
{
    const char *const texts[] = {vector_v4, vector_v6};
    for (size_t row = 0; row < 2; row++) {
        size_t length = strlen(texts[row]);
        char *text = (char *)check_copy(texts[row], length);
        struct fr_token untouched, opened;
        memset(&untouched, 0x5a, sizeof untouched);
        for (size_t bit = 0; bit < length * 6; bit++) {
            char digit = text[bit / 6];
            text[bit / 6] = alphabet[(strchr(alphabet, digit) - alphabet) ^ (1 << bit % 6)];
            bool is_version = bit / 6 == 0 && bit % 6 >= 2, is_spare = bit / 6 == length - 1 && bit % 6 < 4;
            memcpy(&opened, &untouched, sizeof opened);
            int expected = is_version || is_spare ? -EINVAL : -EBADMSG;
            CHECK(fr_token_open(&codec, fr_keyring_find(&ring, KEY_ID), text, length, &opened) == expected);
            CHECK((fr_token_key_id(text, length) < 0) == (expected == -EINVAL));
            CHECK(memcmp(&opened, &untouched, sizeof opened) == 0);
            text[bit / 6] = digit;
        }
        free(text);
    }
}

static void no_character_outside_the_alphabet_is_taken(void)
{
    for (int character = 0; character < 256; character++) {
        char text[FR_TOKEN_TEXT_V4];
        memcpy(text, vector_v4, sizeof text);
        text[30] = (char)character;
        bool is_digit = character != 0 && strchr(alphabet, character) != NULL;
        CHECK((key_id_of(text, sizeof text) == KEY_ID) == is_digit);
    }
}

static void no_other_length_is_taken(void)
{
    char text[FR_TOKEN_TEXT_MAX * 2];
    struct fr_token opened;
    memset(text, 'A', sizeof text);
    memcpy(text, vector_v6, FR_TOKEN_TEXT_V6);
    for (size_t length = 0; length <= sizeof text; length++) {
        bool is_shape = length == FR_TOKEN_TEXT_V6;
        /* fifty digits of the long vector are no token: their spare bits are not zero */
        CHECK((key_id_of(text, length) >= 0) == is_shape);
        CHECK(open_text(KEY_ID, text, length, &opened) == (is_shape ? 0 : -EINVAL));
    }
}

static void another_key_does_not_open(void)
{
    struct fr_token opened;
    CHECK(open_text(3, vector_v4, FR_TOKEN_TEXT_V4, &opened) == -EBADMSG);
    CHECK(open_text(KEY_ID, vector_v4, FR_TOKEN_TEXT_V4, &opened) == 0);
}

static void a_mapped_address_is_sealed_short(void)
{
    struct fr_token token = sample_v6();
    char text[FR_TOKEN_TEXT_MAX];
    token.transceiver = fr_address_v4(htonl(0x0a000007), htons(4000));
    CHECK(fr_token_seal(&codec, &ring, KEY_ID, &token, text) == FR_TOKEN_TEXT_V4);
    CHECK(memcmp(text, vector_v4, FR_TOKEN_TEXT_V4) == 0);
}

static void what_a_token_cannot_name_is_not_sealed(void)
{
    char text[FR_TOKEN_TEXT_MAX];
    struct fr_token token = sample_v4();
    CHECK(fr_token_seal(&codec, &ring, 4, &token, text) == -ENOENT);
    CHECK(fr_token_seal(&codec, &ring, FR_KEYS, &token, text) == -ENOENT);
    token.transceiver.port_be = 0;
    CHECK(fr_token_seal(&codec, &ring, KEY_ID, &token, text) == -EINVAL);
    token = sample_v6();
    token.transceiver.scope = 2;
    CHECK(fr_token_seal(&codec, &ring, KEY_ID, &token, text) == -EINVAL);
}

static void a_codec_opens_and_closes_again(void)
{
    struct fr_token_codec other;
    CHECK(fr_token_codec_open(&other) == 0);
    fr_token_codec_close(&other);
    fr_token_codec_close(&other);
}

int main(void)
{
    uint8_t zero[FR_SECRET_LENGTH] = {0}, other[FR_SECRET_LENGTH] = {1};
    CHECK(fr_token_codec_open(&codec) == 0);
    CHECK(fr_keyring_add(&ring, KEY_ID, zero, 0, UINT64_MAX) == 0);
    CHECK(fr_keyring_add(&ring, 3, other, 0, UINT64_MAX) == 0);
    a_token_is_sealed_as_published_and_opens();
    the_password_follows_from_the_text();
    any_changed_bit_is_refused_and_writes_nothing();
    no_character_outside_the_alphabet_is_taken();
    no_other_length_is_taken();
    another_key_does_not_open();
    a_mapped_address_is_sealed_short();
    what_a_token_cannot_name_is_not_sealed();
    a_codec_opens_and_closes_again();
    fr_token_codec_close(&codec);
    fr_keyring_wipe(&ring);
    return check_result();
}
