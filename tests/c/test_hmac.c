/* HMAC against the RFCs, on one context keyed again and again. */
#include "crypto/hmac.h"

#include <errno.h>

#include "check.h"

static struct fr_hmac sha1, sha256;

static int digest(struct fr_hmac *hmac, const char *key, const char *message, uint8_t *out, size_t out_length)
{
    int result = fr_hmac_start(hmac, (const uint8_t *)key, strlen(key));
    if (result == 0)
        result = fr_hmac_add(hmac, message, strlen(message));
    return result == 0 ? fr_hmac_finish(hmac, out, out_length) : result;
}

static void sha1_is_that_of_rfc_2202(void)
{
    static const uint8_t expected[20] = {0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f, 0xa2, 0xd2, 0x74,
                                         0x16, 0xd5, 0xf1, 0x84, 0xdf, 0x9c, 0x25, 0x9a, 0x7c, 0x79};
    uint8_t out[20];
    CHECK(digest(&sha1, "Jefe", "what do ya want for nothing?", out, sizeof out) == 0);
    CHECK(memcmp(out, expected, sizeof out) == 0);
}

static void sha256_is_that_of_rfc_4231(void)
{
    static const uint8_t expected[8] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e};
    uint8_t out[8];
    CHECK(digest(&sha256, "Jefe", "what do ya want for nothing?", out, sizeof out) == 0);
    CHECK(memcmp(out, expected, sizeof out) == 0);
}

static void a_message_in_pieces_is_the_same_message(void)
{
    uint8_t whole[32], pieces[32];
    CHECK(digest(&sha256, "key", "one two", whole, 32) == 0);
    CHECK(fr_hmac_start(&sha256, (const uint8_t *)"key", 3) == 0);
    CHECK(fr_hmac_add(&sha256, "one", 3) == 0);
    CHECK(fr_hmac_add(&sha256, "", 0) == 0);
    CHECK(fr_hmac_add(&sha256, " two", 4) == 0);
    CHECK(fr_hmac_finish(&sha256, pieces, 32) == 0);
    CHECK(memcmp(whole, pieces, 32) == 0);
}

static void an_empty_key_is_not_the_key_of_last_time(void)
{
    uint8_t keyed[32], unkeyed[32];
    CHECK(digest(&sha256, "key", "message", keyed, 32) == 0);
    CHECK(fr_hmac_start(&sha256, NULL, 0) == 0);
    CHECK(fr_hmac_add(&sha256, "message", 7) == 0);
    CHECK(fr_hmac_finish(&sha256, unkeyed, 32) == 0);
    CHECK(memcmp(keyed, unkeyed, 32) != 0);
}

static void a_message_given_up_leaves_no_trace(void)
{
    uint8_t before[32], after[32];
    CHECK(digest(&sha256, "key", "message", before, 32) == 0);
    CHECK(fr_hmac_start(&sha256, (const uint8_t *)"other", 5) == 0);
    CHECK(fr_hmac_add(&sha256, "never finished", 14) == 0);
    CHECK(digest(&sha256, "key", "message", after, 32) == 0);
    CHECK(memcmp(before, after, 32) == 0);
}

static void nothing_longer_than_the_digest_is_given(void)
{
    uint8_t out[33];
    CHECK(digest(&sha1, "key", "message", out, 21) == -EINVAL);
    CHECK(digest(&sha256, "key", "message", out, 33) == -EINVAL);
}

static void an_unknown_digest_opens_nothing(void)
{
    struct fr_hmac hmac;
    CHECK(fr_hmac_open(&hmac, "SHA0") == -ENOTSUP);
    CHECK(hmac.algorithm == NULL && hmac.context == NULL);
    fr_hmac_close(&hmac);
}

int main(void)
{
    CHECK(fr_hmac_open(&sha1, "SHA1") == 0);
    CHECK(fr_hmac_open(&sha256, "SHA256") == 0);
    sha1_is_that_of_rfc_2202();
    sha256_is_that_of_rfc_4231();
    a_message_in_pieces_is_the_same_message();
    an_empty_key_is_not_the_key_of_last_time();
    a_message_given_up_leaves_no_trace();
    nothing_longer_than_the_digest_is_given();
    an_unknown_digest_opens_nothing();
    fr_hmac_close(&sha1);
    fr_hmac_close(&sha256);
    fr_hmac_close(&sha256);
    return check_result();
}
