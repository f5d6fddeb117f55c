/* Any text gets one of three answers; what opens seals to the same text again.
 *
 * The first byte picks how the rest is used: as a text, or as the fields of a token that is sealed and then opened,
 * because no fuzzer guesses a seal. */
#include "route/token.h"

#include <errno.h>
#include <stdlib.h>

static struct fr_token_codec codec;
static struct fr_keyring ring;

static void must(bool claim)
{
    if (!claim)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const uint8_t secret[FR_SECRET_LENGTH];
    (void)argc, (void)argv;
    must(fr_token_codec_open(&codec) == 0);
    for (unsigned id = 0; id < FR_KEYS; id++)
        must(fr_keyring_add(&ring, id, secret, 0, UINT64_MAX) == 0);
    return 0;
}

static void open_and_seal_again(const char *text, size_t length)
{
    struct fr_token token;
    char password[FR_ICE_PASSWORD_LENGTH], again[FR_TOKEN_TEXT_MAX];
    int key_id = fr_token_key_id(text, length);
    const struct fr_key *key = fr_keyring_find(&ring, key_id >= 0 ? (unsigned)key_id : 0);
    must(key_id == -EINVAL || (key_id >= 0 && key_id < FR_KEYS));
    int result = fr_token_open(&codec, key, text, length, &token);
    must(result == 0 || result == -EINVAL || (result == -EBADMSG && key_id >= 0));
    must(fr_token_ice_password(&codec, key, text, length, password) == 0);
    if (result != 0)
        return;
    must(fr_token_seal(&codec, &ring, (unsigned)key_id, &token, again) == (int)length);
    must(memcmp(text, again, length) == 0);
}

static void seal_and_open(const uint8_t *data, size_t size)
{
    struct fr_token token;
    char text[FR_TOKEN_TEXT_MAX];
    memset(&token, 0, sizeof token);
    memcpy(&token, data, size < sizeof token ? size : sizeof token);
    int length = fr_token_seal(&codec, &ring, data[0] & 15, &token, text);
    must(length == FR_TOKEN_TEXT_V4 || length == FR_TOKEN_TEXT_V6 || length == -EINVAL);
    if (length < 0)
        return;
    char *copy = malloc((size_t)length);
    must(copy != NULL);
    memcpy(copy, text, (size_t)length);
    open_and_seal_again(copy, (size_t)length);
    free(copy);
}

/* libFuzzer's own buffer has the input's exact size, so an over-read of `data` is seen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (data[0] & 1)
        seal_and_open(data + 1, size - 1);
    else
        open_and_seal_again((const char *)data + 1, size - 1);
    return 0;
}
