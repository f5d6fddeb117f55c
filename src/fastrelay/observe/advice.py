"""What an operator does about each verdict: the advice of docs/counters.md, for whoever asks at a terminal.

Lives here: the words. A test holds them equal to the page's, so that there is one advice. Must not live here: the
verdicts and what they mean (relay.dataplane.verdict).
"""

from __future__ import annotations

import re
from typing import Final

_AS_BEFORE = "The same."
_AS_FOR = re.compile(r"as for `(\w+)`")


def advice_on(verdict: str) -> str:
    """The advice on one verdict by itself, in plain text; empty for a verdict of another release."""
    if verdict not in ADVICE:
        return ""
    names = list(ADVICE)
    advice = ADVICE[verdict]
    if advice == _AS_BEFORE:
        advice = ADVICE[names[names.index(verdict) - 1]]
    elif reference := _AS_FOR.search(advice):
        advice = ADVICE[reference[1]]
    return advice.replace("**", "").replace("`", "")


ADVICE: Final[dict[str, str]] = {
    "UP_STUN": "Nothing. About one every 2.5 s from each Chromium client, every 4–6 s from Firefox.",
    "UP_DTLS": "Nothing. A handful at the start of a call, then data channel messages.",
    "UP_SRTP": "Nothing: this is the work. About 50 a second from each client that sends audio.",
    "UP_SRTCP": "Nothing.",
    "UP_ADMITTED": "Nothing. Its rate is the rate of new calls, and of clients that changed network.",
    "UP_REPOINTED": "Nothing. A reloaded page reuses its port.",
    "EMPTY": "Nothing; port scans send them.",
    "OVERSIZE": (
        "Nothing; no WebRTC client sends more than a path MTU. Steady from one network: jumbo frames or an "
        "amplification attempt."
    ),
    "NOT_WEBRTC": "Nothing; scans. In a flood, filter at the edge: these cost a receive and no more.",
    "BAD_SOURCE": "If it rises, someone forges sources: filter the relay's own addresses at the network border.",
    "UNKNOWN_CLIENT": (
        "After a start or a lost flow table it rises until each client's next check (up to 2.5 s, Firefox 6 "
        "s). Steady at one level: calls hung up at the transceiver while their clients still send. Rising "
        "with the number of calls: one client's packets reach different hosts; look at the hashing in front "
        "of the relays."
    ),
    "STUN_MALFORMED": "Nothing; junk.",
    "STUN_NOT_A_CHECK": (
        "Late Binding responses after a call, or a TURN client that took the relay for its server: look at "
        "what hands out this address."
    ),
    "STUN_NO_USERNAME": "Someone uses the relay as a public STUN server. It gets no reply.",
    "STUN_NO_INTEGRITY": "The same.",
    "STUN_BAD_INTEGRITY": (
        "The token is good and the password is not: the answer's `ice-pwd` does not come from this token. If "
        "calls fail, compare with `fastrelay token open`."
    ),
    "TOKEN_MALFORMED": "Ordinary ICE traffic of another service, or a server that mints another version.",
    "TOKEN_UNKNOWN_KEY": (
        "**Act**: a server mints with a key this relay has not got. Bring the ring to every relay before any "
        "server mints with it."
    ),
    "TOKEN_RETIRED_KEY": (
        "A call older than the token lifetime, or a server that still mints with an old ring: give it the new one."
    ),
    "TOKEN_FORGED": "An attack, or two rings with different secrets under one id: **act** if calls fail.",
    "TOKEN_EXPIRED": "A client that returns after a day, or a relay's clock far ahead: check time synchronisation.",
    "TOKEN_NOT_YET": "**Act**: the clocks of the minting server and this relay differ by more than a minute.",
    "TOKEN_FOREIGN_CLUSTER": (
        "The client was sent to the wrong relay: check the addresses in the answers and `--cluster`."
    ),
    "TOKEN_NOT_ALLOWED": (
        "**Act**: a transceiver has an address that `--allow` does not cover, or a stolen key is in use."
    ),
    "SOURCE_BUDGET": (
        "One address (or IPv6 /64) floods. Many callers behind one carrier address may reach it too: raise "
        "the per-source budget if real calls fail."
    ),
    "ADMISSION_BUDGET": "A flood from many addresses; live calls are not touched. If it is real demand, add workers.",
    "SESSION_BUDGET": (
        "One token is used from many addresses: a client that roams wildly, or a leaked token in a flood."
    ),
    "TABLE_FULL": "**Act**: the machine holds as many calls as it may. Add relays or give the table more flows.",
    "PEERS_FULL": "**Act**: tokens name more transceivers than a worker holds. Check that their addresses are stable.",
    "DRAINING": (
        "Expected while the relay, or the address the client reached, is to go away. Steady long after: "
        "callers are still sent here; take the address out of what hands it out."
    ),
    "TRUNK_BUNDLE": "Nothing. Frames divided by bundles is how well bundling works.",
    "TRUNK_HELLO": "Nothing. One a second from each transceiver.",
    "TRUNK_TRUNCATED": "Should be 0 after scans: a broken path or a broken sender.",
    "TRUNK_MALFORMED": "A transceiver of another version, or scans: the trunk address should be private.",
    "TRUNK_SOURCE": (
        "The trunk port is reachable from outside: close it. Or `--allow` misses a network of transceivers."
    ),
    "TRUNK_UNKNOWN_KEY": "**Act**: the sender has another key ring.",
    "TRUNK_BAD_MAC": (
        "**Act**: two rings with different secrets under one id, or an attack from inside the allowed networks."
    ),
    "TRUNK_DIRECTION": "A relay speaks to a relay's trunk port: check the addresses in tokens.",
    "TRUNK_REPLAYED": (
        "A few: the network duplicates. Steady: an attack, two transceivers behind one address, or a clock "
        "that was set back."
    ),
    "TRUNK_PEERS_FULL": "**Act**, as for `PEERS_FULL`.",
    "DOWN_FORWARDED": "Nothing: this is the work.",
    "DOWN_CONFIRMED": (
        "Nothing. It follows `UP_ADMITTED`; a growing gap between the two means checks that transceivers do not answer."
    ),
    "DOWN_RECREATED": (
        "After a lost table: nothing, this is the recovery. Steady: clients' packets and their replies pass "
        "through different relays."
    ),
    "DOWN_CLOSED": "Nothing.",
    "DOWN_CLOSE_UNKNOWN": "A few: the flow went idle first, or belongs to a new session by now.",
    "DOWN_EMPTY": "Should be 0: a broken transceiver.",
    "DOWN_NOT_YOURS": (
        "A few after a page was reloaded onto another transceiver. Steady: a transceiver that keeps dead sessions."
    ),
    "DOWN_AMPLIFIED": (
        "A few at the start of calls, if a transceiver sends a large flight before the client has proved "
        "itself. Steady: spoofed checks."
    ),
    "DOWN_BAD_ADDRESS": "An IPv6 client at a relay that listens on IPv4 only, or a broken transceiver.",
    "DOWN_RECREATE_BUDGET": (
        "For a moment after a lost table. Steady: a transceiver that sends to clients of other relays."
    ),
    "DOWN_TABLE_FULL": "**Act**, as for `TABLE_FULL`.",
}
