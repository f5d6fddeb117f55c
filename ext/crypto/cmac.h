/* AES-128-CMAC (RFC 4493), for messages that carry the first eight bytes of their own MAC.
 *
 * Lives here: key expansion, the MAC, and the choice between the processor's AES and libcrypto's.
 * Must not live here: what a message is, and the comparison of MACs (trunk/bundle.h).
 */
#ifndef FR_CRYPTO_CMAC_H
#define FR_CRYPTO_CMAC_H

#include <openssl/aes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FR_CMAC_KEY 16
#define FR_CMAC_BLOCK 16
/* Where a message carries its MAC, and the shortest that can. */
#define FR_CMAC_FIELD_AT 24
#define FR_CMAC_FIELD 8
#define FR_CMAC_CARRIER_MIN 32

enum fr_cmac_way { FR_CMAC_FASTEST, FR_CMAC_PORTABLE };

/* A key ready for use; plain memory, to be copied and overwritten as such. */
struct fr_cmac_key {
    union {
        uint8_t rounds[11][FR_CMAC_BLOCK]; /* the processor's AES */
        AES_KEY portable;
    };
    uint8_t whole[FR_CMAC_BLOCK] __attribute__((aligned(16)));  /* K1: the last block is whole */
    uint8_t padded[FR_CMAC_BLOCK] __attribute__((aligned(16))); /* K2: it is padded */
    bool is_hardware;
} __attribute__((aligned(16)));

/* Expands the key, and asks once what the processor can. Called when a key ring is loaded, never per packet. */
void fr_cmac_open(struct fr_cmac_key *key, const uint8_t bytes[FR_CMAC_KEY], enum fr_cmac_way way);

/* The MAC of a message of at least FR_CMAC_CARRIER_MIN bytes, its bytes 24 to 31 taken as zeroes whatever stands there.
 * Returns the first eight bytes of the MAC in their order in memory. Reads nothing beyond the message. */
uint64_t fr_cmac_carried(const struct fr_cmac_key *key, const uint8_t *message, size_t length);

/* The whole MAC of any message. */
void fr_cmac(const struct fr_cmac_key *key, const uint8_t *message, size_t length, uint8_t mac[FR_CMAC_BLOCK]);

#endif
