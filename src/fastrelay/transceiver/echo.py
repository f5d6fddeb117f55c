"""A trunk echo: what stands where a transceiver will, until there are sessions. For demonstrations, tests and probes.

It answers authenticated connectivity checks as a transceiver does, and sends everything else back as it came.
Lives here: those decisions, their counts, and a loop to run them in. Must not live here: processes, signals.
"""

from __future__ import annotations

import selectors
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from fastrelay.errors import TokenError, WireError
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import find_key, ice_password
from fastrelay.transceiver.trunk_port import OpenTrunkPort, Path
from fastrelay.wire.stun import BINDING_REQUEST, CheckRefusal, build_response, parse_check, read_request

Client: TypeAlias = tuple[str, int, int]
"""Address, port and scope: what a client is known by."""

TICK_S = 0.1
"""How often the port looks for HELLOs that are due, and the loop for an order to stop."""
CLIENTS_MAX = 65_536


@dataclass(slots=True)
class EchoCounts:
    """What an echo has done with frames."""

    checks_answered: int = 0
    checks_refused: int = 0
    frames_echoed: int = 0
    frames_unvouched: int = 0  # of clients that have shown no valid check: a transceiver has no session for them
    closes_sent: int = 0


class TrunkEcho:
    """One echo over one port. The port stays the caller's."""

    def __init__(self, port: OpenTrunkPort, keys: KeyRing, *, clock_s: Callable[[], float] = time.time) -> None:
        self.counts = EchoCounts()
        self._port = port
        self._keys = keys
        self._clock_s = clock_s
        # by address, in the order of their first check: another worker of the relay may carry a client from now on
        self._clients: OrderedDict[Client, Path] = OrderedDict()

    @property
    def clients(self) -> list[Path]:
        """Those that have shown a valid check and are not closed, as last heard, the longest known first."""
        return list(self._clients.values())

    def set_ring(self, keys: KeyRing) -> None:
        """Take a rotated key ring, here and on the trunk."""
        self._port.set_ring(keys)
        self._keys = keys

    def turn(self) -> int:
        """Answer what waits on the port now, without waiting; returns how many frames that were."""
        frames = self._port.receive()
        answers = []
        for path, payload in frames:
            answer = self._answer(path, payload)
            if answer is not None:
                answers.append((path, answer))
        self._port.send(answers)
        return len(frames)

    def run(self, is_stopping: Callable[[], bool], on_tick: Callable[[], None] | None = None) -> None:
        """Work until `is_stopping`, which is asked every TICK_S; then hang up on everyone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._port, selectors.EVENT_READ)
            due_s = time.monotonic()
            while not is_stopping():
                if selector.select(max(due_s - time.monotonic(), 0)):
                    self.turn()
                if time.monotonic() >= due_s:
                    due_s = time.monotonic() + TICK_S
                    self._port.tick()
                    if on_tick is not None:
                        on_tick()
        self.hang_up(self.clients)

    def hang_up(self, clients: Iterable[Path]) -> None:
        """End these clients: the relay forgets their flows at once instead of when they fall silent."""
        closing = [path for path in clients if self._clients.pop(path.client, None) is not None]
        self._port.send_close(closing)
        self.counts.closes_sent += len(closing)

    def _answer(self, path: Path, payload: bytes) -> bytes | None:
        if len(payload) >= 2 and int.from_bytes(payload[:2], "big") == BINDING_REQUEST:
            answer = self._answer_check(path, payload)
            if answer is None:
                self.counts.checks_refused += 1
            else:
                self.counts.checks_answered += 1
            return answer
        if path.client not in self._clients:
            self.counts.frames_unvouched += 1
            return None
        self._clients[path.client] = path
        self.counts.frames_echoed += 1
        return payload

    def _answer_check(self, path: Path, payload: bytes) -> bytes | None:
        """The response, signed with the password that the check's own token stands for (RFC 8445 §7.3)."""
        check = parse_check(payload)
        if isinstance(check, CheckRefusal):
            return None
        try:
            token = check.token.decode("ascii")
            password = ice_password(token, find_key(token, self._keys, now_s=self._clock_s()))
            request = read_request(payload, password)
        except (UnicodeDecodeError, TokenError, WireError):
            return None
        if path.client not in self._clients and len(self._clients) >= CLIENTS_MAX:
            self._clients.popitem(last=False)
        self._clients[path.client] = path
        return build_response(request.transaction_id, path.client[:2], password)
