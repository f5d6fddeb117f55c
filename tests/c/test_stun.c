/* Finding the token in a check, and its signature, on buffers of exactly the packet's size. */
#include "wire/stun.h"

#include "check.h"

/* RFC 5769 §2.1: SOFTWARE, PRIORITY and ICE-CONTROLLED before USERNAME, which is padded with spaces. */
static const uint8_t sample_request[] = {
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
    0xfa, 0x87, 0xdf, 0xae,
    0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63,
    0x6c, 0x69, 0x65, 0x6e, 0x74,
    0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
    0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
    0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20,
    0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3,
    0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2,
    0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
};
static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt";

enum { HEADER = 20, USERNAME_AT = 60, INTEGRITY_AT = 76, FINGERPRINT_AT = 100 };

static struct fr_hmac sha1;

static int parse(const uint8_t *bytes, size_t length)
{
    struct fr_stun_check check;
    uint8_t *packet = check_copy(bytes, length);
    int refusal = fr_stun_parse_check(packet, length, &check);
    free(packet);
    return refusal;
}

static bool is_accepted(const uint8_t *bytes, size_t length)
{
    struct fr_stun_check check;
    uint8_t *packet = check_copy(bytes, length);
    bool accepted = fr_stun_parse_check(packet, length, &check) == 0 &&
                    fr_stun_integrity_matches(&sha1, packet, &check, (const uint8_t *)password, strlen(password));
    free(packet);
    return accepted;
}

static void sample_request_is_a_check_signed_with_its_password(void)
{
    struct fr_stun_check check;
    CHECK(fr_stun_parse_check(sample_request, sizeof sample_request, &check) == 0);
    CHECK(check.token == (const char *)sample_request + USERNAME_AT + 4);
    CHECK(check.token_length == 4);
    CHECK(check.integrity_offset == INTEGRITY_AT);
    CHECK(is_accepted(sample_request, sizeof sample_request));
}

static void another_password_does_not_match(void)
{
    struct fr_stun_check check;
    uint8_t other[sizeof password - 1];
    CHECK(fr_stun_parse_check(sample_request, sizeof sample_request, &check) == 0);
    for (size_t i = 0; i < sizeof other; i++) {
        memcpy(other, password, sizeof other);
        other[i] ^= 1;
        CHECK(!fr_stun_integrity_matches(&sha1, sample_request, &check, other, sizeof other));
    }
    CHECK(!fr_stun_integrity_matches(&sha1, sample_request, &check, other, 0));
}

static void nothing_shorter_is_a_check(void)
{
    for (size_t length = 0; length < sizeof sample_request; length++)
        CHECK(parse(sample_request, length) == FR_STUN_MALFORMED);
}

/* Cut at an attribute's border and the length corrected, each verdict says what is missing. */
static void cut_and_mended_it_lacks_what_was_cut(void)
{
    static const struct { size_t length; int verdict; } rows[] = {
        {HEADER, FR_STUN_NO_USERNAME},          {USERNAME_AT, FR_STUN_NO_USERNAME},
        {INTEGRITY_AT, FR_STUN_NO_INTEGRITY},   {INTEGRITY_AT + 4, FR_STUN_MALFORMED},
        {FINGERPRINT_AT - 4, FR_STUN_MALFORMED}, {FINGERPRINT_AT, 0},
        {FINGERPRINT_AT + 4, FR_STUN_MALFORMED},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        uint8_t *packet = check_copy(sample_request, rows[row].length);
        packet[3] = (uint8_t)(rows[row].length - HEADER);
        CHECK(parse(packet, rows[row].length) == rows[row].verdict);
        free(packet);
    }
    uint8_t *packet = check_copy(sample_request, FINGERPRINT_AT);
    packet[3] = FINGERPRINT_AT - HEADER;
    CHECK(is_accepted(packet, FINGERPRINT_AT));
    free(packet);
}

static void any_changed_bit_up_to_the_signature_refuses_it(void)
{
    uint8_t *packet = check_copy(sample_request, sizeof sample_request);
    for (size_t bit = 0; bit < FINGERPRINT_AT * 8; bit++) {
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(!is_accepted(packet, sizeof sample_request));
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(packet);
}

/* RFC 8489 §14.5: what follows the signature is ignored, but must lie within the message. */
static void what_follows_the_signature_counts_only_by_its_shape(void)
{
    uint8_t *packet = check_copy(sample_request, sizeof sample_request);
    for (size_t i = FINGERPRINT_AT; i < sizeof sample_request; i++) {
        bool is_length = i == FINGERPRINT_AT + 2 || i == FINGERPRINT_AT + 3;
        packet[i] ^= 0xff;
        CHECK(is_accepted(packet, sizeof sample_request) == !is_length);
        packet[i] ^= 0xff;
    }
    free(packet);
}

/* Whatever length SOFTWARE claims, no read leaves the buffer. */
static void every_attribute_length_stays_inside(void)
{
    uint8_t *packet = check_copy(sample_request, sizeof sample_request);
    for (unsigned length = 0; length <= 0xffff; length++) {
        packet[22] = (uint8_t)(length >> 8);
        packet[23] = (uint8_t)length;
        int verdict = parse(packet, sizeof sample_request);
        if (length > sizeof sample_request - HEADER - 4)
            CHECK(verdict == FR_STUN_MALFORMED);
    }
    free(packet);
}

static void a_header_out_of_order_is_malformed(void)
{
    static const struct { size_t at; uint8_t value; int verdict; } rows[] = {
        {0, 0x40, FR_STUN_MALFORMED}, {0, 0x80, FR_STUN_MALFORMED}, {0, 0xc0, FR_STUN_MALFORMED},
        {0, 0x01, FR_STUN_NOT_A_CHECK}, {1, 0x00, FR_STUN_NOT_A_CHECK}, {1, 0x11, FR_STUN_NOT_A_CHECK},
        {2, 0x01, FR_STUN_MALFORMED}, {3, 0x57, FR_STUN_MALFORMED}, {3, 0x59, FR_STUN_MALFORMED},
        {3, 0x54, FR_STUN_MALFORMED}, {3, 0x5c, FR_STUN_MALFORMED},
        {4, 0x20, FR_STUN_MALFORMED}, {7, 0x43, FR_STUN_MALFORMED},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        uint8_t *packet = check_copy(sample_request, sizeof sample_request);
        packet[rows[row].at] = rows[row].value;
        CHECK(parse(packet, sizeof sample_request) == rows[row].verdict);
        free(packet);
    }
}

static void username_must_have_two_parts(void)
{
    static const struct { const char *username; int verdict; } rows[] = {
        {"evtj:h6vY", 0}, {"evtj:h6:Y", 0}, {"e:hhhhh6vY", 0}, {"evtj6h6v:", FR_STUN_NO_USERNAME},
        {":evtjh6vY", FR_STUN_NO_USERNAME}, {"evtj.h6vY", FR_STUN_NO_USERNAME}, {":::::::::", FR_STUN_NO_USERNAME},
    };
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        uint8_t *packet = check_copy(sample_request, sizeof sample_request);
        memcpy(packet + USERNAME_AT + 4, rows[row].username, 9);
        CHECK(parse(packet, sizeof sample_request) == rows[row].verdict);
        free(packet);
    }
}

int main(void)
{
    CHECK(fr_hmac_open(&sha1, "SHA1") == 0);
    sample_request_is_a_check_signed_with_its_password();
    another_password_does_not_match();
    nothing_shorter_is_a_check();
    cut_and_mended_it_lacks_what_was_cut();
    any_changed_bit_up_to_the_signature_refuses_it();
    what_follows_the_signature_counts_only_by_its_shape();
    every_attribute_length_stays_inside();
    a_header_out_of_order_is_malformed();
    username_must_have_two_parts();
    fr_hmac_close(&sha1);
    return check_result();
}
