/* Whatever opens, by a stand-in that believes every tag, lies within the packet and is counted once. */
#include <stdlib.h>
#include <string.h>

#include "stand_in_srtp.h"

static int believe(void *context, void *packet, int *length)
{
    (void)context;
    (void)packet;
    *length -= STAND_IN_TAG;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct fr_srtp_calls calls = {stand_in_protect, stand_in_protect, believe, believe};
    struct fr_srtp_inbound inbound = {.tag_length = STAND_IN_TAG, .payload_types = {0, UINT64_MAX}};
    struct fr_srtp_opened opened;
    uint8_t *packet = malloc(size ? size : 1);

    if (packet == NULL)
        return 0;
    if (size)
        memcpy(packet, data, size);
    enum fr_srtp_verdict verdict = fr_srtp_open(&inbound, &calls, packet, size, size, &opened);
    if (verdict == FR_SRTP_OPENED &&
        (opened.payload_length == 0 || opened.header.length + opened.payload_length + STAND_IN_TAG > size ||
         inbound.reception.packets != 1 || opened.extended_sequence != opened.header.sequence))
        abort();
    int length = (int)size;
    verdict = fr_srtp_open_rtcp(&inbound, &calls, packet, &length);
    if (verdict == FR_SRTP_OPENED && (length < FR_RTCP_HEADER + FR_SRTCP_INDEX || length > (int)size))
        abort();
    free(packet);
    return 0;
}
