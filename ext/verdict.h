/* Every way a datagram or frame can end, each with its own counter.
 *
 * A verdict is the index of its counter: FR_VERDICTS is the one list, and the
 * enum, the names in Python and the counter page all come from it. Client
 * datagrams and trunk frames each end in exactly one verdict; so does each trunk
 * datagram as a whole. The order is part of the counter page's layout.
 */
#ifndef FR_VERDICT_H
#define FR_VERDICT_H

/* name, text shown to operators */
#define FR_VERDICTS(V) \
    /* client datagrams that went up */ \
    V(UP_STUN, "STUN of a known client, forwarded") \
    V(UP_DTLS, "DTLS of a known client, forwarded") \
    V(UP_SRTP, "SRTP of a known client, forwarded") \
    V(UP_SRTCP, "SRTCP of a known client, forwarded") \
    V(UP_ADMITTED, "first check of a new client, flow made and forwarded") \
    V(UP_REPOINTED, "check with another valid token, flow repointed and forwarded") \
    /* client datagrams refused by shape */ \
    V(EMPTY, "zero-length datagram") \
    V(OVERSIZE, "datagram longer than a client packet may be") \
    V(NOT_WEBRTC, "first byte is neither STUN, DTLS nor SRTP") \
    V(BAD_SOURCE, "source cannot be answered: port 0, not unicast, or the relay's own address") \
    V(UNKNOWN_CLIENT, "not STUN, and no flow for this address") \
    /* STUN that would make or move a flow, refused */ \
    V(STUN_MALFORMED, "STUN length, cookie or attribute out of bounds") \
    V(STUN_NOT_A_CHECK, "STUN, but not a Binding request, and no flow for this address") \
    V(STUN_NO_USERNAME, "Binding request without a USERNAME of two parts") \
    V(STUN_NO_INTEGRITY, "Binding request without MESSAGE-INTEGRITY") \
    V(STUN_BAD_INTEGRITY, "MESSAGE-INTEGRITY does not match the token's password") \
    V(TOKEN_MALFORMED, "token has the wrong length, alphabet or version") \
    V(TOKEN_UNKNOWN_KEY, "token names a key id that is not in the key ring") \
    V(TOKEN_RETIRED_KEY, "token names a key past its open_until") \
    V(TOKEN_FORGED, "token does not open with its key") \
    V(TOKEN_EXPIRED, "token is older than the token lifetime") \
    V(TOKEN_NOT_YET, "token was minted in the future, beyond the clock skew") \
    V(TOKEN_FOREIGN_CLUSTER, "token belongs to another cluster") \
    V(TOKEN_NOT_ALLOWED, "token points outside the allowed networks") \
    V(SOURCE_BUDGET, "source address has tried too many admissions") \
    V(ADMISSION_BUDGET, "worker has tried too many admissions") \
    V(SESSION_BUDGET, "session has too many flows") \
    V(TABLE_FULL, "flow table is full of confirmed flows") \
    V(PEERS_FULL, "too many transceivers") \
    V(DRAINING, "relay is draining: no new sessions") \
    /* trunk datagrams */ \
    V(TRUNK_BUNDLE, "bundle accepted") \
    V(TRUNK_HELLO, "HELLO accepted") \
    V(TRUNK_TRUNCATED, "shorter than its own header says") \
    V(TRUNK_MALFORMED, "unknown version or kind, or counts that disagree") \
    V(TRUNK_SOURCE, "sender is outside the allowed networks") \
    V(TRUNK_UNKNOWN_KEY, "key id not in the key ring, or retired") \
    V(TRUNK_BAD_MAC, "MAC does not match") \
    V(TRUNK_DIRECTION, "travels the wrong way") \
    V(TRUNK_REPLAYED, "sequence number seen before or too old") \
    V(TRUNK_PEERS_FULL, "too many transceivers") \
    /* frames that came down */ \
    V(DOWN_FORWARDED, "frame sent to its client") \
    V(DOWN_CONFIRMED, "first frame back, flow confirmed, sent to its client") \
    V(DOWN_RECREATED, "flow lost and made again, sent to its client") \
    V(DOWN_CLOSED, "CLOSE, flow removed") \
    V(DOWN_CLOSE_UNKNOWN, "CLOSE for a flow this transceiver does not have") \
    V(DOWN_EMPTY, "frame without payload") \
    V(DOWN_NOT_YOURS, "client belongs to another transceiver") \
    V(DOWN_AMPLIFIED, "more bytes than the unconfirmed client has sent") \
    V(DOWN_BAD_ADDRESS, "client address cannot be sent to from here") \
    V(DOWN_RECREATE_BUDGET, "too many flows made again") \
    V(DOWN_TABLE_FULL, "flow table is full of confirmed flows")

enum fr_verdict {
#define FR_VERDICT_ENUM(name, text) FR_##name,
    FR_VERDICTS(FR_VERDICT_ENUM)
#undef FR_VERDICT_ENUM
    FR_VERDICT_COUNT
};

#endif
