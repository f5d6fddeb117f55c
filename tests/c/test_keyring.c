/* Derivation from a secret, which key mints, and what stays in memory. */
#include "route/keyring.h"

#include <errno.h>

#include "check.h"

enum { NOW = 1800000000 };

static void add(struct fr_keyring *ring, unsigned id, uint64_t mint_from_s, uint64_t open_until_s)
{
    uint8_t secret[FR_SECRET_LENGTH];
    memset(secret, (int)id, sizeof secret);
    CHECK(fr_keyring_add(ring, id, secret, mint_from_s, open_until_s) == 0);
}

/* Key 0 of tests/data/token_vectors.json. */
static void keys_are_derived_as_published(void)
{
    static const uint8_t siv[4] = {0x7f, 0xc5, 0x96, 0x1a}, ice[4] = {0xb3, 0x86, 0xfb, 0x13};
    static const uint8_t trunk[16] = {0x0d, 0x3d, 0xe6, 0x2e, 0xe3, 0xdf, 0x48, 0xff,
                                      0xcb, 0x94, 0xb0, 0x5c, 0x86, 0xf1, 0x6e, 0x0e};
    struct fr_keyring ring = {0};
    uint8_t secret[FR_SECRET_LENGTH];
    for (uint8_t i = 0; i < sizeof secret; i++)
        secret[i] = i;
    CHECK(fr_keyring_add(&ring, 0, secret, 5, 9) == 0);
    const struct fr_key *key = fr_keyring_find(&ring, 0);
    CHECK(key != NULL);
    CHECK(memcmp(key->siv_key, siv, sizeof siv) == 0);
    CHECK(memcmp(key->ice_key, ice, sizeof ice) == 0);
    CHECK(memcmp(key->trunk_key, trunk, sizeof trunk) == 0);
    CHECK(key->mint_from_s == 5 && key->open_until_s == 9);
}

static void only_what_was_added_is_found(void)
{
    struct fr_keyring ring = {0};
    add(&ring, 15, 0, 0);
    for (unsigned id = 0; id < 40; id++)
        CHECK((fr_keyring_find(&ring, id) != NULL) == (id == 15));
    CHECK(fr_keyring_find(&ring, UINT32_MAX) == NULL);
}

static void an_id_is_taken_once_and_inside_the_ring(void)
{
    struct fr_keyring ring = {0}, before;
    uint8_t secret[FR_SECRET_LENGTH] = {1};
    add(&ring, 3, 0, 0);
    before = ring;
    CHECK(fr_keyring_add(&ring, 3, secret, 0, 0) == -EEXIST);
    CHECK(fr_keyring_add(&ring, FR_KEYS, secret, 0, 0) == -EINVAL);
    CHECK(fr_keyring_add(&ring, UINT32_MAX, secret, 0, 0) == -EINVAL);
    CHECK(memcmp(&ring, &before, sizeof ring) == 0);
}

static void the_last_to_begin_mints_and_of_equals_the_highest_id(void)
{
    struct fr_keyring ring = {0};
    CHECK(fr_keyring_minting_id(&ring, NOW) == -ENOENT);
    add(&ring, 9, NOW + 1, UINT64_MAX);
    CHECK(fr_keyring_minting_id(&ring, NOW) == -ENOENT);
    CHECK(fr_keyring_minting_id(&ring, NOW + 1) == 9);
    add(&ring, 0, NOW - 9, NOW);
    CHECK(fr_keyring_minting_id(&ring, NOW) == -ENOENT);
    CHECK(fr_keyring_minting_id(&ring, NOW - 1) == 0);
    add(&ring, 5, NOW - 8, UINT64_MAX);
    CHECK(fr_keyring_minting_id(&ring, NOW) == 5);
    CHECK(fr_keyring_minting_id(&ring, NOW - 1) == 5);
    add(&ring, 7, NOW - 8, NOW + 1);
    CHECK(fr_keyring_minting_id(&ring, NOW) == 7);
    add(&ring, 6, NOW - 8, UINT64_MAX);
    CHECK(fr_keyring_minting_id(&ring, NOW) == 7);
    CHECK(fr_keyring_minting_id(&ring, NOW + 1) == 9);
    CHECK(fr_keyring_minting_id(&ring, UINT64_MAX - 1) == 9);
}

static void a_clock_behind_the_ring_sends_with_the_next_key_to_mint(void)
{
    struct fr_keyring ring = {0};
    CHECK(fr_keyring_trunk_id(&ring, NOW) == -ENOENT);
    add(&ring, 9, NOW + 5, UINT64_MAX);
    CHECK(fr_keyring_trunk_id(&ring, NOW) == 9);
    add(&ring, 3, NOW + 2, NOW + 4);
    CHECK(fr_keyring_trunk_id(&ring, NOW + 1) == 3);
    CHECK(fr_keyring_trunk_id(&ring, NOW + 3) == 3);
    CHECK(fr_keyring_trunk_id(&ring, NOW + 4) == 9);
    add(&ring, 4, NOW + 2, UINT64_MAX);
    CHECK(fr_keyring_trunk_id(&ring, NOW + 1) == 4);
    add(&ring, 0, NOW - 9, NOW);
    CHECK(fr_keyring_trunk_id(&ring, NOW - 1) == 0);
    CHECK(fr_keyring_trunk_id(&ring, NOW) == 4);
}

static void nothing_is_left_after_a_wipe(void)
{
    struct fr_keyring ring = {0}, empty = {0};
    add(&ring, 1, 1, 1);
    fr_keyring_wipe(&ring);
    CHECK(memcmp(&ring, &empty, sizeof ring) == 0);
}

int main(void)
{
    keys_are_derived_as_published();
    only_what_was_added_is_found();
    an_id_is_taken_once_and_inside_the_ring();
    the_last_to_begin_mints_and_of_equals_the_highest_id();
    a_clock_behind_the_ring_sends_with_the_next_key_to_mint();
    nothing_is_left_after_a_wipe();
    return check_result();
}
