"""Every way a datagram or frame can end, as ext/verdict.h lists them.

Lives here: the names, their order (a verdict is the index of its counter) and the text shown to operators.
Must not live here: what leads to a verdict. A test holds this list equal to the header's.
"""

from __future__ import annotations

from enum import IntEnum


class Verdict(IntEnum):
    """The one end of a client datagram, of a trunk datagram, or of a frame that came down."""

    text: str

    def __new__(cls, text: str) -> Verdict:
        verdict = int.__new__(cls, len(cls.__members__))
        verdict._value_ = len(cls.__members__)
        verdict.text = text
        return verdict

    # client datagrams that went up
    UP_STUN = "STUN of a known client, forwarded"
    UP_DTLS = "DTLS of a known client, forwarded"
    UP_SRTP = "SRTP of a known client, forwarded"
    UP_SRTCP = "SRTCP of a known client, forwarded"
    UP_ADMITTED = "first check of a new client, flow made and forwarded"
    UP_REPOINTED = "check with another valid token, flow repointed and forwarded"

    # client datagrams refused by shape
    EMPTY = "zero-length datagram"
    OVERSIZE = "datagram longer than a client packet may be"
    NOT_WEBRTC = "first byte is neither STUN, DTLS nor SRTP"
    BAD_SOURCE = "source cannot be answered: port 0, not unicast, or the relay's own address"
    UNKNOWN_CLIENT = "not STUN, and no flow for this address"

    # STUN that would make or move a flow, refused
    STUN_MALFORMED = "STUN length, cookie or attribute out of bounds"
    STUN_NOT_A_CHECK = "STUN, but not a Binding request, and no flow for this address"
    STUN_NO_USERNAME = "Binding request without a USERNAME of two parts"
    STUN_NO_INTEGRITY = "Binding request without MESSAGE-INTEGRITY"
    STUN_BAD_INTEGRITY = "MESSAGE-INTEGRITY does not match the token's password"
    TOKEN_MALFORMED = "token has the wrong length, alphabet or version"
    TOKEN_UNKNOWN_KEY = "token names a key id that is not in the key ring"
    TOKEN_RETIRED_KEY = "token names a key past its open_until"
    TOKEN_FORGED = "token does not open with its key"
    TOKEN_EXPIRED = "token is older than the token lifetime"
    TOKEN_NOT_YET = "token was minted in the future, beyond the clock skew"
    TOKEN_FOREIGN_CLUSTER = "token belongs to another cluster"
    TOKEN_NOT_ALLOWED = "token points outside the allowed networks"
    SOURCE_BUDGET = "source address has tried too many admissions"
    ADMISSION_BUDGET = "worker has tried too many admissions"
    SESSION_BUDGET = "session has too many flows"
    TABLE_FULL = "flow table is full of confirmed flows"
    PEERS_FULL = "too many transceivers"
    DRAINING = "relay is draining: no new sessions"

    # trunk datagrams
    TRUNK_BUNDLE = "bundle accepted"
    TRUNK_HELLO = "HELLO accepted"
    TRUNK_TRUNCATED = "shorter than its own header says"
    TRUNK_MALFORMED = "unknown version or kind, or counts that disagree"
    TRUNK_SOURCE = "sender is outside the allowed networks"
    TRUNK_UNKNOWN_KEY = "key id not in the key ring, or retired"
    TRUNK_BAD_MAC = "MAC does not match"
    TRUNK_DIRECTION = "travels the wrong way"
    TRUNK_REPLAYED = "sequence number seen before or too old"
    TRUNK_PEERS_FULL = "too many transceivers"

    # frames that came down
    DOWN_FORWARDED = "frame sent to its client"
    DOWN_CONFIRMED = "first frame back, flow confirmed, sent to its client"
    DOWN_RECREATED = "flow lost and made again, sent to its client"
    DOWN_CLOSED = "CLOSE, flow removed"
    DOWN_CLOSE_UNKNOWN = "CLOSE for a flow this transceiver does not have"
    DOWN_EMPTY = "frame without payload"
    DOWN_NOT_YOURS = "client belongs to another transceiver"
    DOWN_AMPLIFIED = "more bytes than the unconfirmed client has sent"
    DOWN_BAD_ADDRESS = "client address cannot be sent to from here"
    DOWN_RECREATE_BUDGET = "too many flows made again"
    DOWN_TABLE_FULL = "flow table is full of confirmed flows"
