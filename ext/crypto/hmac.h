/* HMAC over libcrypto, opened once and keyed anew for every message.
 *
 * Lives here: the one way fastrelay reaches an HMAC (RFC 2104): SHA1 for STUN's
 * MESSAGE-INTEGRITY, SHA256 for ICE passwords. The algorithm is fetched at open;
 * no fetch and no look-up by name happens after that.
 * Must not live here: what is authenticated, key derivation, comparisons.
 */
#ifndef FR_CRYPTO_HMAC_H
#define FR_CRYPTO_HMAC_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

struct fr_hmac {
    EVP_MAC *algorithm;
    EVP_MAC_CTX *context;
};

/* `digest` is "SHA1" or "SHA256". 0, -ENOTSUP when libcrypto has no such digest
 * (a FIPS provider without SHA1), or -ENOMEM. On failure nothing needs closing. */
int fr_hmac_open(struct fr_hmac *hmac, const char *digest);

/* start, add any number of times, finish: one message. The key is copied.
 * Each returns 0 or -EIO when libcrypto refuses. */
int fr_hmac_start(struct fr_hmac *hmac, const uint8_t *key, size_t key_length);
int fr_hmac_add(struct fr_hmac *hmac, const void *bytes, size_t length);

/* Writes the first `out_length` bytes of the MAC; -EINVAL when it has fewer. */
int fr_hmac_finish(struct fr_hmac *hmac, uint8_t *out, size_t out_length);

/* Safe on a zeroed struct and after a failed open. */
void fr_hmac_close(struct fr_hmac *hmac);

#endif
