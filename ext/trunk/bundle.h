/* The trunk's datagrams: reading and writing them. docs/trunk.md is the specification.
 *
 * Lives here: header, frame headers, MAC, HELLO body, and the writer that packs frames
 * into datagrams of one burst without copying a payload.
 * Must not live here: who the peer is and which sequence numbers it used (peer.h), sockets,
 * and what a relay or a transceiver does with a frame.
 */
#ifndef FR_TRUNK_BUNDLE_H
#define FR_TRUNK_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "crypto/cmac.h"
#include "limits.h"
#include "wire/address.h"

#define FR_TRUNK_VERSION 1
#define FR_TRUNK_HEADER 32
#define FR_TRUNK_MAC_AT 24
#define FR_HELLO_BODY 40
#define FR_FRAME_HEADER_V4 8
#define FR_FRAME_HEADER_V6 24

enum fr_trunk_kind { FR_BUNDLE_UP = 1, FR_BUNDLE_DOWN = 2, FR_HELLO_UP = 3, FR_HELLO_DOWN = 4 };

#define FR_FRAME_V6 0x8000u
#define FR_FRAME_CLOSE 0x4000u
#define FR_FRAME_RESERVED 0x3000u
#define FR_FRAME_LENGTH 0x0fffu

#define FR_HELLO_DRAINING 1u

struct fr_trunk_header {
    uint8_t kind;
    uint8_t key_id;
    uint16_t frame_count;
    uint16_t via;
    uint16_t covered_bytes;
    uint64_t epoch_us;
    uint64_t sequence;
};

struct fr_frame {
    struct fr_address client;
    const uint8_t *payload; /* borrowed from the datagram or the receive ring */
    uint32_t length;
    uint32_t flags; /* FR_FRAME_CLOSE or 0 */
};

struct fr_hello {
    uint64_t sent_at_us;
    uint64_t echo_us;
    uint32_t echo_delay_us;
    uint32_t flags;
    uint64_t received;
    uint64_t lost;
};

/* Step 1 of the specification's checks: 0, FR_TRUNK_TRUNCATED or FR_TRUNK_MALFORMED. */
int fr_trunk_read_header(const uint8_t *datagram, size_t length, struct fr_trunk_header *header);
/* Steps 4 and 5: 0, FR_TRUNK_TRUNCATED or FR_TRUNK_BAD_MAC. Comparison is in constant time. */
int fr_trunk_check_mac(const uint8_t *datagram, size_t length, const struct fr_trunk_header *header,
                       const struct fr_cmac_key *key);
/* Step 8 for a bundle: 0, FR_TRUNK_TRUNCATED or FR_TRUNK_MALFORMED; frames borrow the datagram. */
int fr_trunk_read_frames(const uint8_t *datagram, size_t length, const struct fr_trunk_header *header,
                         struct fr_frame frames[FR_BUNDLE_FRAMES]);
/* Step 8 for a HELLO: 0 or FR_TRUNK_MALFORMED. */
int fr_trunk_read_hello(const uint8_t *datagram, const struct fr_trunk_header *header, struct fr_hello *hello);
/* Writes FR_TRUNK_HEADER + FR_HELLO_BODY bytes, MAC included. */
void fr_trunk_write_hello(uint8_t *datagram, const struct fr_trunk_header *header, const struct fr_hello *hello,
                          const struct fr_cmac_key *key);

/* --- the writer ---------------------------------------------------------- */

/* One trunk datagram, as iovecs: headers, payloads, padding. */
struct fr_datagram {
    uint16_t first_iovec;
    uint16_t iovec_count; /* the last is the padding, its length 0 until the burst ends */
    uint16_t bytes;       /* without padding */
};

/* Consecutive datagrams that leave in one UDP_SEGMENT send. */
struct fr_burst {
    uint16_t first_datagram;
    uint16_t datagram_count;
    uint16_t segment_bytes;
};

/* What all datagrams of a burst share. */
struct fr_burst_head {
    const struct fr_cmac_key *mac_key;
    uint64_t epoch_us;
    uint64_t *sequence; /* the peer's last sent number; counts up with every datagram */
    uint16_t via;
    uint8_t key_id;
    uint8_t kind;
};

/* Room for FR_BATCH frames, each alone in its datagram at worst. Zero-initialise, then reset before each use.
 * Everything it hands out stays valid until the next reset; payloads are borrowed for as long. */
struct fr_writer {
    uint16_t iovec_count;
    uint16_t datagram_count;
    uint16_t burst_count;
    uint16_t covered;     /* bytes of frame headers in the open datagram */
    uint16_t frame_count; /* frames in the open datagram; 0 when none is open */
    uint16_t bytes;       /* bytes of the open datagram */
    uint32_t arena_used;
    uint32_t burst_bytes;  /* bytes of the open burst if every segment had its largest size */
    const struct fr_burst_head *head; /* borrowed until fr_writer_end */
    struct fr_datagram datagrams[FR_BATCH];
    struct fr_burst bursts[FR_BATCH];
    struct iovec iovecs[3 * FR_BATCH];
    uint8_t arena[FR_BATCH * (FR_TRUNK_HEADER + FR_FRAME_HEADER_V6)] __attribute__((aligned(64)));
};

/* Frames about to be written, column by column; a length of 0 is a CLOSE. Payloads are borrowed until the reset. */
struct fr_outgoing {
    const struct fr_address *client;
    const uint8_t *const *payload;
    const uint32_t *length;
};

void fr_writer_reset(struct fr_writer *writer);
/* Starts a burst to one peer. The head is borrowed until fr_writer_end. */
void fr_writer_begin(struct fr_writer *writer, const struct fr_burst_head *head);
/* Adds one frame, or `count` frames of a batch: `first`, next[first] and so on. At most FR_BATCH frames between two
 * resets. Opens further datagrams and bursts as limits demand. */
void fr_writer_add(struct fr_writer *writer, const struct fr_address *client, const uint8_t *payload, uint32_t length,
                   uint32_t flags);
void fr_writer_add_chain(struct fr_writer *writer, const struct fr_outgoing *outgoing, const uint16_t *next,
                         unsigned first, unsigned count);
/* Closes what is open and pads. */
void fr_writer_end(struct fr_writer *writer);

#endif
