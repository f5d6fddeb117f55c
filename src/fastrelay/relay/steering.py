"""Which workers the kernel may choose for a client's packet, and by what.

Lives here: choosing between the ways to steer, and keeping every listening group to it. Must not live here: the
programs (io.steering).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

from fastrelay.errors import ConfigError
from fastrelay.io import steering
from fastrelay.io.queues import receive_cpus
from fastrelay.observe.logs import facts
from fastrelay.relay.settings import Steering

LOG = logging.getLogger(__name__)


class Steerer:
    """Keeps the kernel's choice in step with the crew."""

    def __init__(self, wanted: Steering, salt: int, *, is_sorted: bool = True) -> None:
        self.wanted = wanted
        self.is_sorted = is_sorted
        """Whether a worker's place is known; else no program of ours could name it."""
        self._salt = salt
        self.way = Steering.KERNEL
        """What is in force."""

    def steer(self, sockets: Sequence[Sequence[socket.socket]], active: Sequence[tuple[int, int]]) -> None:
        """`sockets` are each worker's listeners, in the order of their places; `active` (place, cpu) pairs."""
        if not active:
            return  # all of them are down: what arrives waits where it arrives
        way = self._choose([cpu for _, cpu in active], len(sockets))
        try:
            for listener in sockets[0]:
                if way is Steering.KERNEL:
                    steering.detach(listener)
                elif way is Steering.CPU:
                    steering.attach(listener, steering.by_cpu([(cpu, place) for place, cpu in active]))
                else:
                    places = [place for place, _ in active]
                    steering.attach(listener, steering.by_client(listener.family, places, self._salt))
        except ConfigError as error:
            LOG.warning("the kernel chooses the workers by itself", extra=facts(problem=error.problem))
            self.wanted = way = Steering.KERNEL
        if way is not self.way:
            LOG.info("steering", extra=facts(way=way.value))
        self.way = way

    def _choose(self, cpus: Sequence[int], group: int) -> Steering:
        if not self.is_sorted:
            return Steering.KERNEL
        if self.wanted in (Steering.HASH, Steering.KERNEL):
            return self.wanted
        if group == 1:
            return Steering.KERNEL  # nothing to choose from
        if len(set(cpus)) < len(cpus):
            return Steering.HASH  # two on one CPU: the second would never be chosen
        if self.wanted is Steering.CPU:
            return Steering.CPU
        return Steering.CPU if receive_cpus() == set(cpus) else Steering.HASH
