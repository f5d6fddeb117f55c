"""Messages between the processes of one relay or transceiver: JSON that may carry descriptors, borders kept.

Lives here: one message in, one message out, over a SOCK_SEQPACKET socket. Must not live here: what the messages mean
(relay.orders, transceiver.worker.orders, observe.admin). Both ends belong to one operator, yet what arrives is
checked: the two may be of different releases.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from fastrelay.errors import PeerError

MESSAGE_BYTES_MAX = 128 * 1024
DESCRIPTORS_MAX = 64
"""Of one message: a worker's listeners, its trunk and its pages, with room to spare. The kernel takes 253."""


@dataclass(frozen=True, slots=True)
class Message:
    """What arrived. The descriptors are the receiver's to close; close() closes those nobody has taken."""

    body: Mapping[str, Any]
    descriptors: list[int]

    def close(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


class Channel:
    """One end. Blocking, with a deadline for each call; `fileno` lets it be waited for together with others."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), cls(theirs)

    @classmethod
    def of_descriptor(cls, descriptor: int) -> Self:
        """Take over an inherited end."""
        return cls(socket.socket(fileno=descriptor))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def detach(self) -> int:
        """Give the descriptor away, open."""
        return self._end.detach()

    def send(self, body: Mapping[str, Any], descriptors: Sequence[int] = (), *, timeout_s: float = 2.0) -> bool:
        """Whether it was taken: False when the other end has gone, or lets everything wait for longer than this."""
        message = json.dumps(body).encode()
        if len(message) > MESSAGE_BYTES_MAX or len(descriptors) > DESCRIPTORS_MAX:
            raise ValueError(f"a message of {len(message)} bytes and {len(descriptors)} descriptors is too large")
        self._end.settimeout(timeout_s)
        try:
            socket.send_fds(self._end, [message], list(descriptors))
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self, *, timeout_s: float | None = 0.0) -> Message | None:
        """The next message, None when the other end has gone. TimeoutError after `timeout_s`; None waits for ever."""
        self._end.settimeout(timeout_s)
        try:
            text, descriptors, flags, _ = socket.recv_fds(self._end, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)
        except BlockingIOError:
            raise TimeoutError("no message") from None
        except ConnectionResetError:
            return None
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not text and not descriptors:
            return None
        return Message(
            _parse(text, descriptors, is_cut=bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC))), descriptors
        )

    def waiting(self, at_most: int, on_nonsense: Callable[[PeerError], None]) -> Iterator[Message | None]:
        """What has arrived, without waiting for more; None comes last, when the other end has gone."""
        for _ in range(at_most):
            try:
                message = self.receive()
            except TimeoutError:
                return
            except PeerError as error:
                on_nonsense(error)
                continue
            yield message
            if message is None:
                return


def _parse(text: bytes, descriptors: list[int], *, is_cut: bool) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if is_cut or not isinstance(body, dict):
        for descriptor in descriptors:
            os.close(descriptor)
        raise PeerError("a message between processes was cut short" if is_cut else "a message that is no JSON object")
    return body
