"""A peer that is one child process: everything but its command.

Lives here: start, wait, pids, stop of a program with one UDP port. Must not live here: any single relay.
"""

from abc import abstractmethod
from collections.abc import Mapping

from bench.load.failure import BenchFailure
from bench.peers.peer import Endpoint, Peer, Route
from bench.peers.running import Running, free_port

# below the ephemeral range, above the ports of the benchmark's clients and transceivers
FIRST_PORT, LAST_PORT = 21600, 21900


class ChildPeer(Peer):
    """One program, one process, one address for all clients."""

    def __init__(self) -> None:
        self._running: Running | None = None
        self._endpoint: Endpoint | None = None

    @abstractmethod
    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """How it is started."""

    def environment(self) -> Mapping[str, str]:
        """What is added to its environment."""
        return {}

    def start(self, route: Route) -> None:
        """Starts it on a free port and waits until it is bound."""
        endpoint = (route.listen, free_port(FIRST_PORT, LAST_PORT))
        self._running = Running(self.name, self.command(endpoint, route), self.environment())
        self._endpoint = endpoint
        self._running.wait_until_bound(endpoint)

    def stop(self) -> None:
        """Ends it."""
        if self._running is not None:
            self._running.stop()
        self._running = self._endpoint = None

    def client_endpoints(self) -> list[Endpoint]:
        """The one address."""
        if self._endpoint is None:
            raise BenchFailure(f"{self.name} has not been started")
        return [self._endpoint]

    def pids(self) -> list[int]:
        """The one process."""
        return [] if self._running is None else [self._running.pid]
