/* What has been received of one RTP stream: RFC 3550's statistics.
 *
 * Lives here: counting, loss, jitter, which of the latest packets are missing, of authenticated packets that come once.
 * Must not live here: keys, report blocks, clocks. Its readable twin is fastrelay/transceiver/reception.py.
 */
#ifndef FR_MEDIA_RECEPTION_H
#define FR_MEDIA_RECEPTION_H

#include <stdint.h>

/* RFC 3550 A.1: a larger jump ahead is a sender that began anew, not loss */
#define FR_RECEPTION_DROPOUT 3000
/* packets, back from the highest, of which it is known whether they came: 1.3 s of speech */
#define FR_RECEPTION_HISTORY 64

/* All zero is a stream that has not begun. */
struct fr_reception {
    uint64_t packets;
    uint64_t octets;
    uint64_t first;   /* extended sequence number that counting begins with */
    uint64_t highest; /* extended sequence number */
    uint64_t history; /* bit n: the packet n before the highest has come */
    uint64_t jitter_by_16;
    uint32_t transit;
    uint32_t ssrc;
};

/* Forgets the stream before. */
void fr_reception_begin(struct fr_reception *reception, uint32_t ssrc);

/* Takes a packet in and returns its extended sequence number. */
uint64_t fr_reception_count(struct fr_reception *reception, uint16_t sequence, uint32_t timestamp, uint32_t octets,
                            uint64_t now_us);

/* Packets that would be here, had none been lost. */
uint64_t fr_reception_expected(const struct fr_reception *reception);

/* Packets that did not come, or not yet. */
uint64_t fr_reception_lost(const struct fr_reception *reception);

/* Interarrival jitter (RFC 3550 §6.4.1) in timestamp units. */
uint32_t fr_reception_jitter(const struct fr_reception *reception);

/* Fills in the sequence numbers, oldest first, of the latest packets that are not here; returns how many. */
int fr_reception_missing(const struct fr_reception *reception, uint16_t missing[FR_RECEPTION_HISTORY]);

#endif
