#include "crypto/hmac.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

int fr_hmac_open(struct fr_hmac *hmac, const char *digest)
{
    *hmac = (struct fr_hmac){NULL, NULL};
    hmac->algorithm = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    if (hmac->algorithm == NULL)
        return -ENOTSUP;
    hmac->context = EVP_MAC_CTX_new(hmac->algorithm);
    if (hmac->context == NULL) {
        fr_hmac_close(hmac);
        return -ENOMEM;
    }
    /* The parameter takes a non-const pointer but only reads through it. */
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_MAC_CTX_set_params(hmac->context, parameters) != 1) {
        fr_hmac_close(hmac);
        return -ENOTSUP;
    }
    return 0;
}

int fr_hmac_start(struct fr_hmac *hmac, const uint8_t *key, size_t key_length)
{
    /* libcrypto takes a NULL key for "the key of last time": never let an empty key mean that. */
    static const uint8_t empty;
    if (key_length == 0)
        key = &empty;
    return EVP_MAC_init(hmac->context, key, key_length, NULL) == 1 ? 0 : -EIO;
}

int fr_hmac_add(struct fr_hmac *hmac, const void *bytes, size_t length)
{
    return EVP_MAC_update(hmac->context, bytes, length) == 1 ? 0 : -EIO;
}

int fr_hmac_finish(struct fr_hmac *hmac, uint8_t *out, size_t out_length)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t length = 0;
    int result = -EIO;
    if (EVP_MAC_final(hmac->context, mac, &length, sizeof mac) == 1)
        result = out_length <= length ? 0 : -EINVAL;
    if (result == 0)
        memcpy(out, mac, out_length);
    OPENSSL_cleanse(mac, sizeof mac);
    return result;
}

void fr_hmac_close(struct fr_hmac *hmac)
{
    EVP_MAC_CTX_free(hmac->context);
    EVP_MAC_free(hmac->algorithm);
    *hmac = (struct fr_hmac){NULL, NULL};
}
