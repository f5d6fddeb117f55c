"""ICE as the lite end of it: it never checks, it answers (RFC 8445 §2.5, RFC 7675).

Lives here: whose check is answered, where the client is now, until when it has consented to be sent to, and what
becomes of old credentials in an ICE restart. Every authenticated check is answered, nominating or not: some browsers
never nominate again once they have. Whatever does not authenticate is met with silence.
Must not live here: how a message is written (wire.stun), candidates, sockets, clocks, what to do with a client's media.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from fastrelay.errors import WireError
from fastrelay.transceiver.trunk_port import Path
from fastrelay.wire.stun import Request, StunError, build_error, build_response, is_signed, parse_request

Client: TypeAlias = tuple[str, int, int]
"""Address, port and scope: the same client may be heard through one relay and then another."""

CLIENTS_MAX: Final = 8
"""Addresses of one client that are remembered. Who can sign has a few interfaces, not more."""
NOMINATIONS_MAX: Final = 64
"""Nominating checks remembered: one that comes again from elsewhere was replayed, or delayed past its successor."""
NOMINATION_HOLDS_S: Final = 8.0
"""A nominated path that has shown no check for so long yields to one that does: a client behind a NAT that forgot it
comes from a new port, and need not nominate again. Longer than the 6 s that browsers take from check to check."""


class CheckAnswer(NamedTuple):
    """What a check brought about. The answer goes back over the path that the check came by."""

    answer: bytes
    is_first: bool
    """No check was ever successful before: DTLS may start."""
    has_moved: bool
    """The client is at another address than before. That another relay carries it is no move: see `selected`."""


class _Credentials(NamedTuple):
    ufrag: str
    password: str
    username: str


@dataclass(slots=True)
class _Known:
    """A client address that has shown an authentic check."""

    path: Path
    checked_s: float


class IceLite:
    """The ICE of one session. Times are monotonic seconds."""

    __slots__ = (
        "_clients",
        "_consent_s",
        "_credentials",
        "_home",
        "_is_nominated",
        "_nominations",
        "consent_until_s",
        "refused",
        "selected",
    )

    def __init__(self, ufrag: str, password: str, remote_ufrag: str, *, consent_s: float = 30.0) -> None:
        self.selected: Path | None = None
        """Where to send: the path nominated last; while none is, the one checked last."""
        self.consent_until_s: float | None = None
        """Until when the client has agreed to be sent to (RFC 7675 §5.1). None before the first successful check."""
        self.refused = 0
        """Messages met with silence."""
        self._consent_s = consent_s
        # the newest last; the one before it is answered until the newest is used
        self._credentials = [_credentials(ufrag, password, remote_ufrag)]
        # the one checked longest ago first
        self._clients: OrderedDict[Client, _Known] = OrderedDict()
        self._nominations: deque[bytes] = deque(maxlen=NOMINATIONS_MAX)
        self._is_nominated = False
        # of the selected path
        self._home: Client | None = None

    @property
    def ufrag(self) -> str:
        """Ours that signalling named last."""
        return self._credentials[-1].ufrag

    @property
    def ufrags(self) -> tuple[str, ...]:
        """Ours that are answered now, the newest last."""
        return tuple(credentials.ufrag for credentials in self._credentials)

    @property
    def paths(self) -> tuple[Path, ...]:
        """By which the client is known, the one checked longest ago first: whom relays must forget at the end."""
        return tuple(known.path for known in self._clients.values())

    def knows(self, path: Path) -> bool:
        """Tell whether an authentic check has come from this client address, by whatever relay."""
        return path.client in self._clients

    def follow(self, path: Path) -> None:
        """Something authentic that is no check has come by this path: what goes to that client takes it from now on.

        Checks come seconds apart, and the relay that carries the rest may have changed since. Only by which relay a
        client is sent to may change so, not which address of it is. A stranger's path is nothing.
        """
        client = path.client
        known = self._clients.get(client)
        if known is None:
            return
        known.path = path
        if client == self._home:
            self.selected = path

    def restart(self, ufrag: str, password: str, remote_ufrag: str, now_s: float) -> None:
        """Take new credentials (RFC 8445 §9). The old are answered until the new are used.

        Media stays where it is until then. A second restart before the first was used replaces it.
        """
        is_waited_for = len(self._credentials) > 1
        del self._credentials[1:]
        self._credentials.append(_credentials(ufrag, password, remote_ufrag))
        if self.consent_until_s is not None and not is_waited_for:
            # The client is about to gather again; silence meanwhile is no withdrawal. Once: consent is given by the
            # address that is sent to, and not by whoever may restart.
            self.consent_until_s = max(self.consent_until_s, now_s + self._consent_s)

    def handle(self, path: Path, packet: bytes, now_s: float) -> CheckAnswer | None:
        """Answer a check, or None: silence, for what is no check of this client."""
        found = self._authenticate(packet)
        if found is None:
            self.refused += 1
            return None
        request, credentials = found
        error = _fault_of(request)
        if error is not None:
            answer = build_error(request.transaction_id, error, credentials.password, request.unknown)
            return CheckAnswer(answer, is_first=False, has_moved=False)
        if credentials is not self._credentials[0]:
            del self._credentials[0]
        client, former = path.client, self._home
        self.consent_until_s = now_s + self._consent_s
        self._select(path, client, self._is_new_nomination(request), now_s)
        self._remember(path, client, now_s)
        answer = build_response(request.transaction_id, client[:2], credentials.password)
        return CheckAnswer(answer, is_first=former is None, has_moved=former not in (None, self._home))

    def _authenticate(self, packet: bytes) -> tuple[Request, _Credentials] | None:
        try:
            request = parse_request(packet)
        except WireError:
            return None
        for credentials in self._credentials:
            if credentials.username == request.username and is_signed(packet, request, credentials.password):
                return request, credentials
        return None

    def _is_new_nomination(self, request: Request) -> bool:
        if not request.is_nominating or request.transaction_id in self._nominations:
            return False
        self._nominations.append(request.transaction_id)
        return True

    def _select(self, path: Path, client: Client, is_nominating: bool, now_s: float) -> None:
        """Decide whether the path of this check is where to send. Before the check itself is remembered."""
        if is_nominating or not self._is_nominated or client == self._home or self._is_home_silent(now_s):
            self.selected, self._home = path, client
        self._is_nominated = self._is_nominated or is_nominating

    def _is_home_silent(self, now_s: float) -> bool:
        home = None if self._home is None else self._clients.get(self._home)
        return home is None or now_s - home.checked_s > NOMINATION_HOLDS_S

    def _remember(self, path: Path, client: Client, now_s: float) -> None:
        """Note the check. The address checked longest ago gives way, unless media goes there."""
        self._clients[client] = _Known(path, now_s)
        self._clients.move_to_end(client)
        if len(self._clients) > CLIENTS_MAX:
            del self._clients[next(known for known in self._clients if known != self._home)]


def _credentials(ufrag: str, password: str, remote_ufrag: str) -> _Credentials:
    return _Credentials(ufrag, password, f"{ufrag}:{remote_ufrag}")  # RFC 8445 §7.2.2


def _fault_of(request: Request) -> StunError | None:
    """Return why an authentic check is refused, or None."""
    if request.unknown:
        return StunError.UNKNOWN_ATTRIBUTE  # RFC 8489 §6.3.1
    if request.malformed is not None:
        return StunError.BAD_REQUEST
    if request.is_controlled:
        return StunError.ROLE_CONFLICT  # RFC 8445 §6.1.1: of a lite and a full agent, the full one is in control
    return None
