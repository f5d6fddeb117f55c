#include "route/token.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

/* Token bytes: header (version and key id), SIV tag, sealed fields. */
enum {
    TAG_AT = 1,
    TAG_LENGTH = 16,
    SEALED_AT = TAG_AT + TAG_LENGTH,
    /* offsets within the fields */
    CLUSTER_AT = 0,
    SESSION_AT = 2,
    MINTED_AT = 10,
    PORT_AT = 14,
    ADDRESS_AT = 16,
    FIELDS_V4 = ADDRESS_AT + 4,
    FIELDS_V6 = ADDRESS_AT + 16,
    BYTES_MAX = SEALED_AT + FIELDS_V6,
};

/* --- text: base64 (RFC 4648 section 4) without padding = ICE characters (RFC 8839 section 5.4) --- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Digit value plus one, so that 0 means "not in the alphabet". */
static const uint8_t digit_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Returns the text's length: the digits that `length` bytes need, spare bits zero. */
static int build_text(const uint8_t *bytes, size_t length, char *text)
{
    uint32_t bits = 0;
    unsigned held = 0;
    int written = 0;
    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6;)
            text[written++] = digits[bits >> (held -= 6) & 63];
    }
    if (held > 0)
        text[written++] = digits[bits << (6 - held) & 63];
    return written;
}

/* Returns the number of bytes, or -EINVAL. Exactly one text stands for each
 * token, so that a text can be compared, counted and authenticated as it is. */
static int parse_text(const char *text, size_t length, uint8_t bytes[BYTES_MAX])
{
    if (length != FR_TOKEN_TEXT_V4 && length != FR_TOKEN_TEXT_V6)
        return -EINVAL;
    uint32_t bits = 0;
    unsigned held = 0;
    int written = 0;
    for (size_t i = 0; i < length; i++) {
        uint8_t value = digit_values[(uint8_t)text[i]];
        if (value == 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)(value - 1);
        held += 6;
        if (held >= 8)
            bytes[written++] = (uint8_t)(bits >> (held -= 8));
    }
    if ((bits & ((1u << held) - 1)) != 0 || bytes[0] >> 4 != FR_TOKEN_VERSION)
        return -EINVAL;
    return written;
}

_Static_assert(FR_TOKEN_TEXT_V6 <= FR_TOKEN_TEXT_MAX, "callers hold FR_TOKEN_TEXT_MAX characters");

/* --- fields --- */

/* Returns the fields' length, or -EINVAL for a transceiver a token cannot name. */
static int build_fields(const struct fr_token *token, uint8_t fields[FIELDS_V6])
{
    const struct fr_address *transceiver = &token->transceiver;
    if (transceiver->port_be == 0 || transceiver->scope != 0)
        return -EINVAL;
    uint16_t cluster_be = htons(token->cluster);
    uint32_t minted_at_be = htonl(token->minted_at_s);
    memcpy(fields + CLUSTER_AT, &cluster_be, 2);
    memcpy(fields + SESSION_AT, token->session_id, FR_SESSION_ID_LENGTH);
    memcpy(fields + MINTED_AT, &minted_at_be, 4);
    memcpy(fields + PORT_AT, &transceiver->port_be, 2);
    if (fr_address_is_v4(transceiver)) {
        uint32_t address_be = fr_address_v4_be(transceiver);
        memcpy(fields + ADDRESS_AT, &address_be, 4);
        return FIELDS_V4;
    }
    memcpy(fields + ADDRESS_AT, &transceiver->high, 8);
    memcpy(fields + ADDRESS_AT + 8, &transceiver->low, 8);
    return FIELDS_V6;
}

/* -EINVAL for port 0 and for an IPv4 address in the long form, which no correct
 * minter writes: a token's address has one form, as its text has. */
static int parse_fields(const uint8_t *fields, size_t length, struct fr_token *token)
{
    uint16_t cluster_be, port_be;
    uint32_t minted_at_be;
    memcpy(&cluster_be, fields + CLUSTER_AT, 2);
    memcpy(token->session_id, fields + SESSION_AT, FR_SESSION_ID_LENGTH);
    memcpy(&minted_at_be, fields + MINTED_AT, 4);
    memcpy(&port_be, fields + PORT_AT, 2);
    token->cluster = ntohs(cluster_be);
    token->minted_at_s = ntohl(minted_at_be);
    if (length == FIELDS_V4) {
        uint32_t address_be;
        memcpy(&address_be, fields + ADDRESS_AT, 4);
        token->transceiver = fr_address_v4(address_be, port_be);
    } else {
        token->transceiver = (struct fr_address){.port_be = port_be};
        memcpy(&token->transceiver.high, fields + ADDRESS_AT, 8);
        memcpy(&token->transceiver.low, fields + ADDRESS_AT + 8, 8);
        if (fr_address_is_v4(&token->transceiver))
            return -EINVAL;
    }
    return port_be != 0 ? 0 : -EINVAL;
}

/* --- AES-SIV (RFC 5297): one string of associated data, the header byte --- */

static int siv_seal(EVP_CIPHER_CTX *context, const uint8_t key[32], const uint8_t *fields, int length, uint8_t *bytes)
{
    int written;
    /* A NULL cipher keeps the fetched one; the key starts a new message. */
    if (EVP_EncryptInit_ex2(context, NULL, key, NULL, NULL) != 1 ||
        EVP_EncryptUpdate(context, NULL, &written, bytes, TAG_AT) != 1 ||
        EVP_EncryptUpdate(context, bytes + SEALED_AT, &written, fields, length) != 1 ||
        EVP_EncryptFinal_ex(context, bytes + SEALED_AT + length, &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_LENGTH, bytes + TAG_AT) != 1)
        return -EIO;
    return 0;
}

static int siv_open(EVP_CIPHER_CTX *context, const uint8_t key[32], uint8_t *bytes, int length, uint8_t *fields)
{
    int written;
    if (EVP_DecryptInit_ex2(context, NULL, key, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_LENGTH, bytes + TAG_AT) != 1 ||
        EVP_DecryptUpdate(context, NULL, &written, bytes, TAG_AT) != 1)
        return -EIO;
    /* libcrypto compares the tag in constant time here, and Final repeats its answer. */
    if (EVP_DecryptUpdate(context, fields, &written, bytes + SEALED_AT, length) != 1 ||
        EVP_DecryptFinal_ex(context, fields + length, &written) != 1)
        return -EBADMSG;
    return 0;
}

/* --- the interface --- */

int fr_token_codec_open(struct fr_token_codec *codec)
{
    *codec = (struct fr_token_codec){.siv = EVP_CIPHER_fetch(NULL, "AES-128-SIV", NULL)};
    if (codec->siv == NULL)
        return -ENOTSUP;
    int result = fr_hmac_open(&codec->sha256, "SHA256");
    if (result == 0) {
        codec->context = EVP_CIPHER_CTX_new();
        if (codec->context == NULL || EVP_EncryptInit_ex2(codec->context, codec->siv, NULL, NULL, NULL) != 1)
            result = -ENOMEM;
    }
    if (result != 0)
        fr_token_codec_close(codec);
    return result;
}

void fr_token_codec_close(struct fr_token_codec *codec)
{
    fr_hmac_close(&codec->sha256);
    EVP_CIPHER_CTX_free(codec->context);
    EVP_CIPHER_free(codec->siv);
    *codec = (struct fr_token_codec){NULL, NULL, {NULL, NULL}};
}

int fr_token_seal(struct fr_token_codec *codec, const struct fr_keyring *ring, unsigned key_id,
                  const struct fr_token *token, char text[FR_TOKEN_TEXT_MAX])
{
    const struct fr_key *key = fr_keyring_find(ring, key_id);
    if (key == NULL)
        return -ENOENT;
    uint8_t fields[FIELDS_V6], bytes[BYTES_MAX];
    int length = build_fields(token, fields);
    if (length < 0)
        return length;
    bytes[0] = (uint8_t)(FR_TOKEN_VERSION << 4 | key_id);
    int result = siv_seal(codec->context, key->siv_key, fields, length, bytes);
    return result == 0 ? build_text(bytes, (size_t)(SEALED_AT + length), text) : result;
}

int fr_token_key_id(const char *text, size_t length)
{
    uint8_t bytes[BYTES_MAX];
    int result = parse_text(text, length, bytes);
    return result < 0 ? result : bytes[0] & 15;
}

int fr_token_open(struct fr_token_codec *codec, const struct fr_key *key, const char *text, size_t length,
                  struct fr_token *out)
{
    uint8_t bytes[BYTES_MAX], fields[FIELDS_V6];
    int written = parse_text(text, length, bytes);
    if (written < 0)
        return written;
    int fields_length = written - SEALED_AT;
    int result = siv_open(codec->context, key->siv_key, bytes, fields_length, fields);
    if (result != 0)
        return result;
    struct fr_token token;
    result = parse_fields(fields, (size_t)fields_length, &token);
    if (result == 0)
        *out = token;
    return result;
}

int fr_token_ice_password(struct fr_token_codec *codec, const struct fr_key *key, const char *text, size_t length,
                          char password[FR_ICE_PASSWORD_LENGTH])
{
    /* 18 bytes of the MAC fill 24 digits exactly. */
    uint8_t mac[FR_ICE_PASSWORD_LENGTH / 4 * 3];
    int result = fr_hmac_start(&codec->sha256, key->ice_key, sizeof key->ice_key);
    if (result == 0)
        result = fr_hmac_add(&codec->sha256, text, length);
    if (result == 0)
        result = fr_hmac_finish(&codec->sha256, mac, sizeof mac);
    if (result == 0)
        build_text(mac, sizeof mac, password);
    OPENSSL_cleanse(mac, sizeof mac);
    return result;
}
