/* Any datagram gets one of five answers, what is borrowed lies inside it, and the signature can be looked at. */
#include "wire/stun.h"

#include <stdlib.h>

static struct fr_hmac sha1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return fr_hmac_open(&sha1, "SHA1");
}

static void must(bool claim)
{
    if (!claim)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t password[24] = "VOkJxbRl1RmTxUk/WvJxBt";
    struct fr_stun_check check = {0};
    int verdict = fr_stun_parse_check(data, size, &check);
    if (verdict != 0) {
        must(verdict == FR_STUN_MALFORMED || verdict == FR_STUN_NOT_A_CHECK || verdict == FR_STUN_NO_USERNAME ||
             verdict == FR_STUN_NO_INTEGRITY);
        return 0;
    }
    const uint8_t *token = (const uint8_t *)check.token;
    must(token >= data + 24 && check.token_length > 0 && token + check.token_length + 2 <= data + size);
    must(token[check.token_length] == ':');
    must(check.integrity_offset >= 28 && check.integrity_offset % 4 == 0 && check.integrity_offset + 24 <= size);
    fr_stun_integrity_matches(&sha1, data, &check, password, 22);
    return 0;
}
