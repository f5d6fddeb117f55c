/* A stand-in for libsrtp: a tag is the XOR of all bytes, repeated; and it answers with any status it is told to.
 *
 * The real one is in a Python wheel, out of a C test's reach; tests/unit/test_srtp.py runs with it.
 */
#ifndef FR_TEST_STAND_IN_SRTP_H
#define FR_TEST_STAND_IN_SRTP_H

#include "media/srtp.h"

#define STAND_IN_TAG 16

struct stand_in {
    int status;    /* that calls return, unless 0 */
    int calls;
    int reads_far; /* claims this many bytes more than there are */
};

static inline uint8_t stand_in_tag(const uint8_t *packet, int length)
{
    uint8_t tag = 0;
    for (int at = 0; at < length; at++)
        tag ^= packet[at];
    return tag;
}

static int stand_in_protect(void *context, void *packet, int *length)
{
    struct stand_in *stand_in = context;
    uint8_t *bytes = packet;

    stand_in->calls++;
    if (stand_in->status)
        return stand_in->status;
    uint8_t tag = stand_in_tag(bytes, *length);
    for (int at = 0; at < STAND_IN_TAG; at++)
        bytes[(*length)++] = tag;
    return 0;
}

static int stand_in_unprotect(void *context, void *packet, int *length)
{
    struct stand_in *stand_in = context;
    const uint8_t *bytes = packet;

    stand_in->calls++;
    if (stand_in->status)
        return stand_in->status;
    uint8_t tag = stand_in_tag(bytes, *length - STAND_IN_TAG);
    for (int at = 1; at <= STAND_IN_TAG; at++)
        if (bytes[*length - at] != tag)
            return 7;
    *length -= STAND_IN_TAG - stand_in->reads_far;
    return 0;
}

static const struct fr_srtp_calls stand_in_calls = {stand_in_protect, stand_in_protect, stand_in_unprotect,
                                                    stand_in_unprotect};

#endif
