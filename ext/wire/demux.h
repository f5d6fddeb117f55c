/* Which protocol a client datagram belongs to, by its first byte or two.
 *
 * Lives here: the demultiplexing of RFC 7983 §7 (STUN, DTLS, RTP share one port) and
 * RFC 5761 §4 (RTP and RTCP share one port), and nothing that looks further in.
 * Must not live here: parsing, policy, anything that depends on who sent the packet.
 */
#ifndef FR_WIRE_DEMUX_H
#define FR_WIRE_DEMUX_H

#include <stddef.h>
#include <stdint.h>

enum fr_packet_class {
    FR_CLASS_STUN,
    FR_CLASS_DTLS,
    FR_CLASS_SRTP,
    FR_CLASS_SRTCP,
    FR_CLASS_OTHER
};

/* The class a first byte stands for; never FR_CLASS_SRTCP, which takes a second byte. */
extern const uint8_t fr_first_byte_class[256];

/* `length` is at least 1: a caller has already dropped empty datagrams. */
static inline enum fr_packet_class fr_classify(const uint8_t *packet, size_t length)
{
    uint8_t by_first_byte = fr_first_byte_class[packet[0]];
    if (by_first_byte != FR_CLASS_SRTP)
        return (enum fr_packet_class)by_first_byte;
    if (length < 2)
        return FR_CLASS_OTHER;
    /* RFC 5761 §4: RTCP packet types 192-223 are payload types 64-95 with the marker bit,
     * which RTP must not use beside RTCP. */
    return (enum fr_packet_class)(FR_CLASS_SRTP + ((packet[1] & 0xe0) == 0xc0));
}

#endif
