#include "wire/stun.h"

#include <string.h>

#include <openssl/crypto.h>

#define HEADER_LENGTH 20
#define ATTRIBUTE_HEADER_LENGTH 4
#define INTEGRITY_LENGTH 20 /* HMAC-SHA1 */
#define MAGIC_COOKIE 0x2112a442u
#define BINDING_REQUEST 0x0001
#define USERNAME 0x0006
#define MESSAGE_INTEGRITY 0x0008

static uint16_t read_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)read_u16(bytes) << 16 | read_u16(bytes + 2);
}

/* RFC 8489 §5: the two top bits are zero, the cookie is fixed, and the length counts what follows
 * the header in whole words. UDP carries one message, so it must count all of it. */
static bool header_is_sound(const uint8_t *packet, size_t length)
{
    return length >= HEADER_LENGTH && (packet[0] & 0xc0) == 0 && read_u32(packet + 4) == MAGIC_COOKIE &&
           length % 4 == 0 && read_u16(packet + 2) == length - HEADER_LENGTH;
}

/* RFC 8445 §7.2.2: USERNAME is the peer's ufrag, a colon, the sender's own ufrag. */
static bool take_token(const uint8_t *username, size_t length, struct fr_stun_check *out)
{
    const uint8_t *colon = memchr(username, ':', length);
    if (!colon || colon == username || colon == username + length - 1)
        return false;
    out->token = (const char *)username;
    out->token_length = (size_t)(colon - username);
    return true;
}

int fr_stun_parse_check(const uint8_t *packet, size_t length, struct fr_stun_check *out)
{
    if (!header_is_sound(packet, length))
        return FR_STUN_MALFORMED;
    if (read_u16(packet) != BINDING_REQUEST)
        return FR_STUN_NOT_A_CHECK;

    bool username_seen = false, token_found = false, integrity_found = false;
    size_t offset = HEADER_LENGTH;
    /* Offset and length stay multiples of four, so what is left is nothing or a whole attribute header. */
    while (offset < length) {
        uint16_t type = read_u16(packet + offset);
        size_t value_length = read_u16(packet + offset + 2);
        const uint8_t *value = packet + offset + ATTRIBUTE_HEADER_LENGTH;
        size_t padded_length = (value_length + 3) & ~(size_t)3;
        if (padded_length > length - offset - ATTRIBUTE_HEADER_LENGTH)
            return FR_STUN_MALFORMED;
        /* RFC 8489 §14.5: whatever follows MESSAGE-INTEGRITY is not covered by it and is ignored,
         * though it must still lie within the message. §14: of two alike, the first counts. */
        if (type == USERNAME && !username_seen && !integrity_found) {
            username_seen = true;
            token_found = take_token(value, value_length, out);
        } else if (type == MESSAGE_INTEGRITY && !integrity_found) {
            if (value_length != INTEGRITY_LENGTH)
                return FR_STUN_MALFORMED;
            integrity_found = true;
            out->integrity_offset = offset;
        }
        offset += ATTRIBUTE_HEADER_LENGTH + padded_length;
    }
    if (!token_found)
        return FR_STUN_NO_USERNAME;
    return integrity_found ? 0 : FR_STUN_NO_INTEGRITY;
}

bool fr_stun_integrity_matches(struct fr_hmac *sha1, const uint8_t *packet, const struct fr_stun_check *check,
                               const uint8_t *password, size_t password_length)
{
    /* RFC 8489 §14.5: the digest is taken as if the message ended with this attribute, so the
     * length in the header is the one thing not hashed as it was received. */
    size_t ends_at = check->integrity_offset + ATTRIBUTE_HEADER_LENGTH + INTEGRITY_LENGTH - HEADER_LENGTH;
    const uint8_t start[4] = {packet[0], packet[1], (uint8_t)(ends_at >> 8), (uint8_t)ends_at};
    uint8_t digest[INTEGRITY_LENGTH];

    if (fr_hmac_start(sha1, password, password_length) < 0 || fr_hmac_add(sha1, start, sizeof start) < 0 ||
        fr_hmac_add(sha1, packet + sizeof start, check->integrity_offset - sizeof start) < 0 ||
        fr_hmac_finish(sha1, digest, sizeof digest) < 0)
        return false;
    return CRYPTO_memcmp(digest, packet + check->integrity_offset + ATTRIBUTE_HEADER_LENGTH, sizeof digest) == 0;
}
