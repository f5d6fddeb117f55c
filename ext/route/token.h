/* The route token: the sealed server ufrag that says where a client's packets go.
 *
 * Lives here: the token's bytes and text, sealing, opening, and the ICE password
 * derived from it. docs/route-token.md is the specification; its vectors are
 * tests/data/token_vectors.json.
 * Must not live here: whether an opened token may be used. Retired keys, age,
 * cluster and allowed networks are the caller's checks, each with a verdict.
 */
#ifndef FR_ROUTE_TOKEN_H
#define FR_ROUTE_TOKEN_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hmac.h"
#include "limits.h"
#include "route/keyring.h"
#include "wire/address.h"

#define FR_TOKEN_VERSION 1
#define FR_SESSION_ID_LENGTH 8
#define FR_TOKEN_TEXT_V4 50
#define FR_TOKEN_TEXT_V6 66
#define FR_ICE_PASSWORD_LENGTH 24

struct fr_token {
    uint16_t cluster;
    uint8_t session_id[FR_SESSION_ID_LENGTH];
    uint32_t minted_at_s; /* Unix seconds */
    struct fr_address transceiver;
};

/* What sealing and opening need from libcrypto, fetched once. One thread at a time. */
struct fr_token_codec {
    EVP_CIPHER *siv;
    EVP_CIPHER_CTX *context;
    struct fr_hmac sha256;
};

/* 0, -ENOTSUP when libcrypto lacks AES-SIV or SHA256, -ENOMEM. On failure nothing needs closing. */
int fr_token_codec_open(struct fr_token_codec *codec);
void fr_token_codec_close(struct fr_token_codec *codec);

/* Writes the text without a terminator and returns its length. -ENOENT when the
 * key is not in the ring; -EINVAL for a transceiver a token cannot name (port 0,
 * or an address that needs a scope); -EIO when libcrypto refuses. */
int fr_token_seal(struct fr_token_codec *codec, const struct fr_keyring *ring, unsigned key_id,
                  const struct fr_token *token, char text[FR_TOKEN_TEXT_MAX]);

/* Shape only, no cryptography: the key id, or -EINVAL for a wrong length,
 * alphabet, spare bit or version. */
int fr_token_key_id(const char *text, size_t length);

/* `key` is the one that fr_token_key_id named. 0; -EBADMSG when the text was not
 * sealed with this key; -EINVAL for its shape, or for an authentic token that
 * names an impossible transceiver. *out is untouched unless 0. */
int fr_token_open(struct fr_token_codec *codec, const struct fr_key *key, const char *text, size_t length,
                  struct fr_token *out);

/* The password of the session that `text` names, for any text; without a
 * terminator. 0, or -EIO when libcrypto refuses. */
int fr_token_ice_password(struct fr_token_codec *codec, const struct fr_key *key, const char *text, size_t length,
                          char password[FR_ICE_PASSWORD_LENGTH]);

#endif
