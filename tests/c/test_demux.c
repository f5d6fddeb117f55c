/* The whole of the first two bytes, against the ranges of RFC 7983 §7 and RFC 5761 §4. */
#include "wire/demux.h"

#include "check.h"

static enum fr_packet_class expected(unsigned first, unsigned second)
{
    if (first <= 3)
        return FR_CLASS_STUN;
    if (first >= 20 && first <= 63)
        return FR_CLASS_DTLS;
    if (first < 128 || first > 191)
        return FR_CLASS_OTHER;
    return second >= 192 && second <= 223 ? FR_CLASS_SRTCP : FR_CLASS_SRTP;
}

static void every_pair_of_bytes_has_its_class(void)
{
    uint8_t *packet = check_copy("\0", 2);
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            packet[0] = (uint8_t)first;
            packet[1] = (uint8_t)second;
            CHECK(fr_classify(packet, 2) == expected(first, second));
        }
    }
    free(packet);
}

static void one_byte_is_enough_for_all_but_rtp(void)
{
    uint8_t *packet = check_copy("", 1);
    for (unsigned first = 0; first < 256; first++) {
        packet[0] = (uint8_t)first;
        enum fr_packet_class class = expected(first, 0);
        CHECK(fr_classify(packet, 1) == (class == FR_CLASS_SRTP ? FR_CLASS_OTHER : class));
    }
    free(packet);
}

int main(void)
{
    every_pair_of_bytes_has_its_class();
    one_byte_is_enough_for_all_but_rtp();
    return check_result();
}
