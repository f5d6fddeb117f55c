#include "route/keyring.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

/* HKDF-SHA256 (RFC 5869) with an empty salt; `info` keeps the uses apart. */
static int derive(EVP_KDF_CTX *context, const uint8_t secret[FR_SECRET_LENGTH], const char *info, uint8_t *out,
                  size_t out_length)
{
    /* libcrypto's parameters take non-const pointers but only read through them. */
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, FR_SECRET_LENGTH),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    return EVP_KDF_derive(context, out, out_length, parameters) == 1 ? 0 : -EIO;
}

int fr_keyring_add(struct fr_keyring *ring, unsigned id, const uint8_t secret[FR_SECRET_LENGTH], uint64_t mint_from_s,
                   uint64_t open_until_s)
{
    if (id >= FR_KEYS)
        return -EINVAL;
    if (ring->keys[id].present)
        return -EEXIST;
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
    EVP_KDF_CTX *context = hkdf != NULL ? EVP_KDF_CTX_new(hkdf) : NULL;
    struct fr_key key = {.mint_from_s = mint_from_s, .open_until_s = open_until_s, .present = true};
    int result = context != NULL ? 0 : -EIO;
    if (result == 0)
        result = derive(context, secret, "fastrelay route token v1", key.siv_key, sizeof key.siv_key);
    if (result == 0)
        result = derive(context, secret, "fastrelay ice password v1", key.ice_key, sizeof key.ice_key);
    if (result == 0)
        result = derive(context, secret, "fastrelay trunk mac v1", key.trunk_key, sizeof key.trunk_key);
    if (result == 0) {
        fr_cmac_open(&key.trunk_mac, key.trunk_key, FR_CMAC_FASTEST);
        ring->keys[id] = key;
    }
    OPENSSL_cleanse(&key, sizeof key);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(hkdf);
    return result;
}

int fr_keyring_minting_id(const struct fr_keyring *ring, uint64_t now_s)
{
    int minting = -ENOENT;
    for (int id = 0; id < FR_KEYS; id++) {
        const struct fr_key *key = &ring->keys[id];
        if (!key->present || now_s < key->mint_from_s || now_s >= key->open_until_s)
            continue;
        if (minting < 0 || key->mint_from_s >= ring->keys[minting].mint_from_s)
            minting = id;
    }
    return minting;
}

int fr_keyring_trunk_id(const struct fr_keyring *ring, uint64_t now_s)
{
    int next = fr_keyring_minting_id(ring, now_s);

    if (next >= 0)
        return next;
    for (int id = 0; id < FR_KEYS; id++) {
        const struct fr_key *key = &ring->keys[id];
        if (key->present && now_s < key->open_until_s && (next < 0 || key->mint_from_s <= ring->keys[next].mint_from_s))
            next = id;
    }
    return next;
}

void fr_keyring_wipe(struct fr_keyring *ring)
{
    OPENSSL_cleanse(ring, sizeof *ring);
}
