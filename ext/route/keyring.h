/* The key ring as the data plane holds it: derived keys, ready for use.
 *
 * Lives here: derivation of a ring entry's three keys from its secret, and which
 * key mints. docs/route-token.md specifies both.
 * Must not live here: files, JSON, rotation (fastrelay.routing.keys), the clock,
 * and the decision that a key is retired: whoever opens with a key compares
 * `open_until_s`, because a retired key and an unknown one are counted apart.
 */
#ifndef FR_ROUTE_KEYRING_H
#define FR_ROUTE_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/cmac.h"
#include "limits.h"

#define FR_SECRET_LENGTH 32

/* Times are Unix seconds. A key opens while now < open_until_s and mints while
 * also now >= mint_from_s; opening does not wait for mint_from_s. */
struct fr_key {
    uint8_t siv_key[32];
    uint8_t ice_key[32];
    uint8_t trunk_key[FR_CMAC_KEY];
    struct fr_cmac_key trunk_mac; /* trunk_key, expanded */
    uint64_t mint_from_s;
    uint64_t open_until_s; /* UINT64_MAX = no end */
    bool present;
};

struct fr_keyring {
    struct fr_key keys[FR_KEYS]; /* by key id */
};

/* The ring starts as zeroes. `secret` is read during the call only.
 * 0, -EINVAL for an id beyond the ring, -EEXIST for one that is taken, or -EIO
 * when libcrypto cannot derive. Called at start and at reload, never per packet. */
int fr_keyring_add(struct fr_keyring *ring, unsigned id, const uint8_t secret[FR_SECRET_LENGTH], uint64_t mint_from_s,
                   uint64_t open_until_s);

/* The key that seals at `now_s`: of those that mint, the latest mint_from_s, and
 * of equals the highest id. -ENOENT when none mints. */
int fr_keyring_minting_id(const struct fr_keyring *ring, uint64_t now_s);

/* The key for what is sent on the trunk: the one that mints, else the next that will. A peer accepts every key that
 * opens, and a clock a little behind the one that made the ring must not silence this end. -ENOENT when none opens. */
int fr_keyring_trunk_id(const struct fr_keyring *ring, uint64_t now_s);

/* NULL when the id is not in the ring. Retirement is the caller's question. */
static inline const struct fr_key *fr_keyring_find(const struct fr_keyring *ring, unsigned id)
{
    return id < FR_KEYS && ring->keys[id].present ? &ring->keys[id] : NULL;
}

/* Overwrites every key in a way the compiler may not leave out. */
void fr_keyring_wipe(struct fr_keyring *ring);

#endif
