"""One end of DTLS-SRTP (RFC 5764) without a socket or a clock, by OpenSSL over memory.

Lives here: the way from the first flight to SRTP keys, whom we believe (RFC 8122), application data, the end, and
OpenSSL's exceptions. Must not live here: records and resending (dtls_flight), certificates (certificate), SRTP, SCTP.

Nothing that a peer sends makes a method raise: what is not DTLS is dropped by OpenSSL, and what breaks the handshake
ends the endpoint with a DtlsFailure. There is no cookie exchange: the ICE check has proved the peer's address already.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum, auto
from typing import Final

from OpenSSL import SSL
from OpenSSL.crypto import X509

from fastrelay.errors import PeerError
from fastrelay.transceiver.certificate import HASHES, Certificate
from fastrelay.transceiver.dtls_flight import Flight, split_records
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile

DTLS_1_2: Final = 0xFEFD
"""The only version: RFC 8827 asks for it, and DTLS 1.3 of OpenSSL 4.1 has not been tried with browsers."""
CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secret and authenticated. With RSA as well: GStreamer shows such a certificate."""
EXPORTER_LABEL: Final = b"EXTRACTOR-dtls_srtp"
RECORD_BYTES: Final = 16_384
"""The most plaintext that one record holds (RFC 6347 §4.1.1)."""
READ_BYTES: Final = 4_096
RECORD_OVERHEAD_BYTES: Final = 37
"""Header, explicit nonce and tag of a record in the widest of our ciphers."""
QUEUE_MAX: Final = 256
"""Messages, or datagrams, that wait to be taken. An owner that takes after each call never comes near."""
CHANGE_CIPHER_SPEC: Final = 20
HANDSHAKE: Final = 22


class DtlsRole(Enum):
    """Who speaks first. PASSIVE is the server: it waits for the peer's ClientHello, and chooses the SRTP profile."""

    PASSIVE = auto()
    ACTIVE = auto()


class DtlsState(Enum):
    """Where an endpoint stands. The last two are final."""

    NEW = auto()
    HANDSHAKING = auto()
    CONNECTED = auto()
    CLOSED = auto()
    FAILED = auto()


class DtlsFailure(StrEnum):
    """Why an endpoint failed."""

    TIMEOUT = "timeout"
    WRONG_FINGERPRINT = "wrong_fingerprint"
    """The peer's certificate is not one that signalling has named."""
    NO_SRTP_PROFILE = "no_srtp_profile"
    PROTOCOL = "protocol"
    """No common cipher or version, a message that must not come, or a fatal alert of the peer."""


class _Peer:
    """Whom to believe: OpenSSL's callback finds it on its connection. It must not hold the endpoint: no cycles."""

    __slots__ = ("fingerprints", "is_believed", "is_refused")

    def __init__(self, fingerprints: frozenset[tuple[str, bytes]]) -> None:
        self.fingerprints = fingerprints
        self.is_believed = False
        self.is_refused = False


def _judge_certificate(connection: SSL.Connection, shown: X509, _error: int, depth: int, _is_good: int) -> bool:
    """Believe the leaf that signalling has named; issuers and dates say nothing here (RFC 8827 §6.5)."""
    peer: _Peer = connection.get_app_data()
    if depth > 0 or peer.is_believed:  # OpenSSL asks once for each thing it finds wrong with the same leaf
        return True
    # the digest of OpenSSL's own bytes: nothing of the certificate is parsed in Python
    peer.is_believed = any(
        shown.digest(algorithm.replace("-", "")) == digest for algorithm, digest in peer.fingerprints
    )
    peer.is_refused = not peer.is_believed
    return peer.is_believed


class DtlsContexts:
    """What all endpoints of a process share. OpenSSL freezes it with the first connection."""

    def __init__(self, certificate: Certificate, profiles: Sequence[SrtpProfile] = tuple(SrtpProfile)) -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(DTLS_1_2)
        context.set_max_proto_version(DTLS_1_2)
        context.use_certificate(certificate.certificate)
        context.use_privatekey(certificate.key)
        context.set_cipher_list(CIPHERS)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _judge_certificate)
        context.set_tlsext_use_srtp(b":".join(profile.openssl_name.encode() for profile in profiles))
        # a session is never taken up again: tickets and caches would only cost memory
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_QUERY_MTU)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        self.certificate = certificate
        self._context = context

    def connect(self) -> SSL.Connection:
        """A connection over memory."""
        return SSL.Connection(self._context, None)


def _believable(fingerprints: Sequence[tuple[str, str]]) -> frozenset[tuple[str, bytes]]:
    believable = frozenset((name.lower(), value.upper().encode()) for name, value in fingerprints)
    believable = frozenset((name, value) for name, value in believable if name in HASHES)
    if not believable:
        raise PeerError(f"no fingerprint made with one of {', '.join(HASHES)}")
    return believable


class DtlsEndpoint:
    """One end. `fingerprints` are the peer's as its SDP names them: ("sha-256", "AA:BB:…"); one must match.

    PeerError when none of them is made with a digest that can be trusted.
    """

    __slots__ = (
        "_connection",
        "_deadline_s",
        "_flight",
        "_mtu_bytes",
        "_outgoing",
        "_peer",
        "_received",
        "_timeout_s",
        "detail",
        "dropped",
        "failure",
        "keys",
        "role",
        "state",
        "version",
    )

    def __init__(
        self,
        contexts: DtlsContexts,
        role: DtlsRole,
        fingerprints: Sequence[tuple[str, str]],
        *,
        mtu_bytes: int = 1200,
        timeout_s: float = 10.0,
    ) -> None:
        self.role = role
        self.state = DtlsState.NEW
        self.failure: DtlsFailure | None = None
        self.detail = ""
        """What OpenSSL said of the failure, for a log."""
        self.keys: SrtpKeys | None = None
        self.version: str | None = None
        self.dropped = 0
        """Datagrams at a wrong time, and messages beyond QUEUE_MAX."""
        self._peer = _Peer(_believable(fingerprints))
        self._mtu_bytes = mtu_bytes
        self._timeout_s = timeout_s
        self._deadline_s = 0.0
        self._flight = Flight(mtu_bytes)
        self._outgoing: list[bytes] = []
        self._received: list[bytes] = []
        # None once nothing can be said or heard any more: OpenSSL's part is most of an endpoint's memory
        self._connection: SSL.Connection | None = contexts.connect()
        self._connection.set_app_data(self._peer)
        self._connection.set_ciphertext_mtu(mtu_bytes)
        if role is DtlsRole.PASSIVE:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()

    # --- verbs

    def start(self, now_s: float) -> None:
        """Begin: the peer's address is known. Starting again is nothing."""
        if self.state is not DtlsState.NEW or self._connection is None:
            return
        self.state = DtlsState.HANDSHAKING
        self._deadline_s = now_s + self._timeout_s
        self._advance(self._connection, now_s)

    def handle(self, datagram: bytes, now_s: float) -> None:
        """Take a datagram of the peer."""
        connection = self._connection
        if connection is None or self.state is DtlsState.NEW or not datagram:
            self.dropped += 1
            return
        connection.bio_write(datagram)
        if self.state is DtlsState.HANDSHAKING:
            self._advance(connection, now_s)
            return
        self._read(connection)
        written = self._take_written(connection)
        if written:
            self._queue(self._flight.pack(written))
        elif datagram[0] in (CHANGE_CIPHER_SPEC, HANDSHAKE):
            # it repeats its last flight, so it has not got ours (RFC 6347 §4.2.4)
            self._queue(self._flight.repeat(now_s))

    def send(self, data: bytes) -> bool:
        """Send application data in one record; False when not connected, or when it does not fit into a datagram."""
        if self.state is not DtlsState.CONNECTED or self._connection is None:
            return False
        if not data or len(data) + RECORD_OVERHEAD_BYTES > self._mtu_bytes:
            return False
        try:
            self._connection.send(data)
        except SSL.Error as error:
            self._fail(DtlsFailure.PROTOCOL, _said(error))
            return False
        self._queue(self._flight.pack(self._take_written(self._connection)))
        return True

    def close(self, now_s: float) -> None:
        """Say goodbye, if there is somebody to hear it. The peer's answer is not waited for."""
        if self.state in (DtlsState.CLOSED, DtlsState.FAILED):
            return
        if self.state is DtlsState.CONNECTED:
            self._say_goodbye()
        self._end(DtlsState.CLOSED)

    def take_outgoing(self) -> list[bytes]:
        """Datagrams to send, in order; each is given once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def take_received(self) -> list[bytes]:
        """The peer's application data, one item for each record; each is given once."""
        received, self._received = self._received, []
        return received

    def next_timer_s(self) -> float | None:
        """When handle_timer() should be called next; None when nothing is waited for."""
        if self.state is not DtlsState.HANDSHAKING:
            return None
        resend_s = self._flight.resend_s
        return self._deadline_s if resend_s is None else min(self._deadline_s, resend_s)

    def handle_timer(self, now_s: float) -> None:
        """Let time pass: give up, or send the last flight again."""
        connection = self._connection
        if self.state is not DtlsState.HANDSHAKING or connection is None:
            return
        if now_s >= self._deadline_s:
            self._fail(DtlsFailure.TIMEOUT, f"no end of the handshake within {self._timeout_s:g} s")
        elif self._flight.resend_s is not None and now_s >= self._flight.resend_s:
            self._resend(connection, now_s)

    # --- inside

    def _advance(self, connection: SSL.Connection, now_s: float) -> None:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._start_flight(connection, now_s)
        except SSL.Error as error:
            self._queue(self._flight.pack(self._take_written(connection)))
            wrong = self._peer.is_refused
            self._fail(DtlsFailure.WRONG_FINGERPRINT if wrong else DtlsFailure.PROTOCOL, _said(error))
        else:
            self._start_flight(connection, now_s)
            self._finish(connection)

    def _start_flight(self, connection: SSL.Connection, now_s: float) -> None:
        written = self._take_written(connection)
        if written:
            self._queue(self._flight.start(written, now_s))

    def _finish(self, connection: SSL.Connection) -> None:
        """The handshake is through: take the keys, and what came with its last datagram."""
        name = connection.get_selected_srtp_profile().decode()
        profile = next((profile for profile in SrtpProfile if profile.openssl_name == name), None)
        # that the callback was asked is OpenSSL's promise; that nobody unnamed gets keys is ours
        if not self._peer.is_believed or profile is None:
            self._say_goodbye()
            if profile is None:
                self._fail(DtlsFailure.NO_SRTP_PROFILE, "no SRTP profile in common")
            else:
                self._fail(DtlsFailure.WRONG_FINGERPRINT, "no certificate was judged")
            return
        self.state = DtlsState.CONNECTED
        self.version = connection.get_protocol_version_name()
        self.keys = self._export(connection, profile)
        if self.role is DtlsRole.ACTIVE:
            # the peer's last flight has ended the handshake: there is nobody left to ask for ours
            self._flight.forget()
        self._read(connection)

    def _export(self, connection: SSL.Connection, profile: SrtpProfile) -> SrtpKeys:
        """Both directions' key and salt, in the order of RFC 5764 §4.2."""
        material = connection.export_keying_material(EXPORTER_LABEL, profile.material_length, None)
        key, salt = profile.key_length, profile.salt_length
        salts = material[2 * key :]
        of_client = material[:key] + salts[:salt]
        of_server = material[key : 2 * key] + salts[salt:]
        if self.role is DtlsRole.ACTIVE:
            return SrtpKeys(profile, local=of_client, remote=of_server)
        return SrtpKeys(profile, local=of_server, remote=of_client)

    def _read(self, connection: SSL.Connection) -> None:
        """Take all application data there is. One datagram's length bounds the number of turns."""
        try:
            while True:
                data = connection.recv(RECORD_BYTES)
                # who sends data has got our last flight
                self._flight.forget()
                if len(self._received) < QUEUE_MAX:
                    self._received.append(data)
                else:
                    self.dropped += 1
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self._say_goodbye()
            self._end(DtlsState.CLOSED)
        except SSL.Error as error:
            self._fail(DtlsFailure.PROTOCOL, _said(error))

    def _resend(self, connection: SSL.Connection, now_s: float) -> None:
        written: list[bytes] = []
        if not self._flight.is_early:
            try:
                connection.DTLSv1_handle_timeout()
            except SSL.Error as error:
                self._fail(DtlsFailure.TIMEOUT, _said(error))
                return
            written = self._take_written(connection)
        self._queue(self._flight.resend(now_s, written))

    def _say_goodbye(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.shutdown()
        except SSL.Error as error:
            # there is nothing left to say it with, and the end comes all the same
            self.detail = _said(error)
        self._queue(self._flight.pack(self._take_written(connection)))

    def _fail(self, failure: DtlsFailure, detail: str) -> None:
        self.failure = failure
        self.detail = detail
        self._end(DtlsState.FAILED)

    def _end(self, state: DtlsState) -> None:
        self.state = state
        self._flight.forget()
        self._connection = None

    def _take_written(self, connection: SSL.Connection) -> list[bytes]:
        """The records that OpenSSL has written since it was last asked."""
        written = b""
        try:
            while True:
                written += connection.bio_read(READ_BYTES)
        except SSL.WantReadError:
            return split_records(written)

    def _queue(self, datagrams: list[bytes]) -> None:
        room = QUEUE_MAX - len(self._outgoing)
        self.dropped += max(len(datagrams) - room, 0)
        self._outgoing += datagrams[:room]


def _said(error: SSL.Error) -> str:
    """OpenSSL's own words. Its errors carry a list of (library, function, reason), or nothing."""
    first = error.args[0] if error.args else None
    if isinstance(first, list) and first:
        return str(first[0][-1])
    return str(error) or type(error).__name__
