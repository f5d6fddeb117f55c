"""What an orphaned worker says to the supervisor that adopts it: who it is, and all it has.

Lives here: that one message, both ends of it. Must not live here: looking for orphans (handover), waiting for a
supervisor (worker).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, Self

from fastrelay.errors import PeerError
from fastrelay.io.channel import Channel
from fastrelay.relay.resources import WorkerResources

VERSION: Final = 1
"""Of every form in which workers and their descriptors travel between releases."""
PATIENCE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Introduction:
    """A worker with its resources, and the socket on which it waits when its supervisor is gone."""

    index: int
    resources: WorkerResources
    orphanage: socket.socket
    is_sorted: bool
    """Whether its sockets are known to stand at its own place in their groups."""

    def send(self, channel: Channel) -> bool:
        """Whether the other end took it."""
        descriptors: list[int] = []

        def place(descriptor: int) -> int:
            descriptors.append(descriptor)
            return len(descriptors) - 1

        hello = {
            "version": VERSION,
            "index": self.index,
            "resources": self.resources.describe(place),
            "orphanage": place(self.orphanage.fileno()),
            "is_sorted": self.is_sorted,
        }
        return channel.send(hello, descriptors)

    @classmethod
    def receive(cls, channel: Channel) -> Self:
        """PeerError when no introduction comes, or one of another form."""
        try:
            hello = channel.receive(timeout_s=PATIENCE_S)
        except TimeoutError:
            raise PeerError(f"no answer in {PATIENCE_S:g} s") from None
        if hello is None:
            raise PeerError("it went away")
        if hello.body.get("version") != VERSION:
            hello.close()
            raise PeerError("its release hands over in another form")
        taken, hello.descriptors[:] = list(hello.descriptors), []
        return cls(
            hello.body["index"],
            WorkerResources.restore(hello.body["resources"], lambda place: taken[place]),
            socket.socket(fileno=taken[hello.body["orphanage"]]),
            hello.body["is_sorted"],
        )
