"""What a client of the benchmark offers, and what it takes from an answer.

Lives here: just enough SDP for one audio stream. Must not live here: a general reader: that is under test, and must not
be what it is tested with.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from bench.load.failure import BenchFailure

PAYLOAD_TYPE = 111
_OFFER = """v=0
o=- {session} 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS bench
m=audio {port} UDP/TLS/RTP/SAVPF {payload_type}
c=IN IP4 {ip}
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:1 1 udp 2122260223 {ip} {port} typ host generation 0
a=end-of-candidates
a=ice-ufrag:{ufrag}
a=ice-pwd:{password}
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=sendrecv
a=msid:bench audio
a=rtcp-mux
a=rtpmap:{payload_type} opus/48000/2
a=fmtp:{payload_type} minptime=10;useinbandfec=1
a=ssrc:{ssrc} cname:bench
"""


@dataclass(frozen=True, slots=True)
class Ours:
    """A client's own part."""

    ip: str
    port: int
    ufrag: str
    password: str
    fingerprint: str
    ssrc: int

    @classmethod
    def fresh(cls, address: tuple[str, int], fingerprint: str, ssrc: int) -> Ours:
        """New ICE credentials for a socket."""
        return cls(address[0], address[1], secrets.token_hex(4), secrets.token_hex(12), fingerprint, ssrc)

    def offer(self) -> str:
        """The SDP."""
        text = _OFFER.format(
            session=secrets.randbits(60),
            port=self.port,
            ip=self.ip,
            payload_type=PAYLOAD_TYPE,
            ufrag=self.ufrag,
            password=self.password,
            fingerprint=self.fingerprint,
            ssrc=self.ssrc,
        )
        return text.replace("\n", "\r\n")


@dataclass(frozen=True, slots=True)
class Theirs:
    """The server's part of an answer."""

    address: tuple[str, int]
    ufrag: str
    password: str
    fingerprint: tuple[str, str]
    setup: str

    @classmethod
    def of_answer(cls, text: str) -> Theirs:
        """The first host candidate counts: a server of a benchmark has one."""
        found: dict[str, str] = {}
        for line in text.splitlines():
            name, _, value = line.removeprefix("a=").partition(":")
            if name == "candidate" and value.split()[2].lower() != "udp":
                continue
            found.setdefault(name, value)
        try:
            candidate = found["candidate"].split()
            algorithm, _, digest = found["fingerprint"].partition(" ")
            return cls(
                (candidate[4], int(candidate[5])),
                found["ice-ufrag"],
                found["ice-pwd"],
                (algorithm, digest),
                found["setup"],
            )
        except KeyError as missing:
            raise BenchFailure(f"an answer without {missing}") from None
