/* The one STUN message a relay understands: an ICE connectivity check.
 *
 * Lives here: finding the route token in a Binding request (RFC 8489, RFC 8445 §7.2.2) and
 * verifying its MESSAGE-INTEGRITY.
 * Must not live here: answering (a relay never does), what a token means, flows.
 */
#ifndef FR_WIRE_STUN_H
#define FR_WIRE_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hmac.h"
#include "verdict.h"

/* Both members point into, or count within, the packet that was parsed: valid as long as it is. */
struct fr_stun_check {
    const char *token;       /* server ufrag: USERNAME up to its first colon; not terminated */
    size_t token_length;     /* at least 1 */
    size_t integrity_offset; /* where the MESSAGE-INTEGRITY attribute begins in the packet */
};

/* 0 when the packet is a check, and *out is then complete; else one of FR_STUN_MALFORMED,
 * FR_STUN_NOT_A_CHECK, FR_STUN_NO_USERNAME, FR_STUN_NO_INTEGRITY. Any length is safe, 0 too. */
int fr_stun_parse_check(const uint8_t *packet, size_t length, struct fr_stun_check *out);

/* Whether the packet was signed with this password. `check` is what fr_stun_parse_check made of
 * this packet. The comparison takes the same time whichever byte differs. A digest that cannot
 * be computed matches nothing. */
bool fr_stun_integrity_matches(struct fr_hmac *sha1, const uint8_t *packet, const struct fr_stun_check *check,
                               const uint8_t *password, size_t password_length);

#endif
