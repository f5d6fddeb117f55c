"""What needs no process: no relay at all, and address translation in the kernel.

Lives here: a network namespace with an nftables rule, and nothing. Must not live here: how they are measured: there is
no process to pause, so their sender's CPU time is all there is (reference.py).
"""

import os
import subprocess

from bench.load.failure import BenchFailure
from bench.peers.install import debian, run
from bench.peers.peer import Endpoint, NotRun, Opening, Peer, Route
from fastrelay.wire.address import format_endpoint

# the link to the namespace: documentation addresses, which no machine has
OUTSIDE, INSIDE, LENGTH = "198.51.100.1", "198.51.100.2", 30
PORT = 21590
TABLE = """\
table ip bench {{
    chain before {{
        type nat hook prerouting priority dstnat;
        udp dport {port} dnat to {to}
    }}
    chain after {{
        type nat hook postrouting priority srcnat;
        masquerade
    }}
}}
"""


class Direct(Peer):
    """No relay: clients send to the transceiver. The reference of latency and of the generator itself."""

    name = "direct"
    what = "no relay"
    has_process = False

    def __init__(self) -> None:
        self._to: Endpoint | None = None

    def prepare(self) -> str:
        """Needs nothing."""
        return "none"

    def start(self, route: Route) -> None:
        """Keeps the address."""
        self._to = route.transceiver

    def stop(self) -> None:
        """Nothing has been started."""
        self._to = None

    def client_endpoints(self) -> list[Endpoint]:
        """The transceiver itself."""
        if self._to is None:
            raise BenchFailure("direct has not been started")
        return [self._to]

    def pids(self) -> list[int]:
        """None."""
        return []


class KernelNat(Peer):
    """DNAT by nftables in a namespace of its own, a veth pair away: what the kernel does without any program."""

    name = "nft-dnat"
    what = "nftables DNAT in a network namespace"
    opening = Opening.PACKET
    has_process = False

    def __init__(self) -> None:
        self._is_up = False
        self._namespace = f"bench-nat-{os.getpid()}"
        self._link = f"bn{os.getpid()}"

    def prepare(self) -> str:
        """Installs nft; namespaces and tables are root's."""
        if os.geteuid() != 0:
            raise NotRun("network namespaces and nftables need root")
        debian("iproute2")
        return f"nftables {debian('nftables')}, Linux {os.uname().release}"

    def start(self, route: Route) -> None:
        """Builds namespace, link and table. The transceiver has to be reachable from outside: no loopback address."""
        if route.transceiver[0].startswith("127."):
            raise NotRun("the kernel routes no loopback address through a link")
        name, link = self._namespace, self._link
        run(["ip", "netns", "add", name])
        self._is_up = True
        run(["ip", "link", "add", link, "type", "veth", "peer", "name", "outside", "netns", name])
        run(["ip", "address", "add", f"{OUTSIDE}/{LENGTH}", "dev", link])
        run(["ip", "link", "set", link, "up"])
        within = ["ip", "netns", "exec", name]
        run([*within, "ip", "address", "add", f"{INSIDE}/{LENGTH}", "dev", "outside"])
        run([*within, "ip", "link", "set", "outside", "up"])
        run([*within, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
        table = TABLE.format(port=PORT, to=format_endpoint(*route.transceiver))
        loaded = subprocess.run([*within, "nft", "-f", "-"], input=table, capture_output=True, text=True, check=False)
        if loaded.returncode != 0:
            raise NotRun(f"nft: {loaded.stderr.strip()}")

    def stop(self) -> None:
        """Removes the namespace, and with it link and table."""
        if self._is_up:
            run(["ip", "netns", "delete", self._namespace])
            self._is_up = False

    def client_endpoints(self) -> list[Endpoint]:
        """The namespace's end of the link."""
        if not self._is_up:
            raise BenchFailure(f"{self.name} has not been started")
        return [(INSIDE, PORT)]

    def pids(self) -> list[int]:
        """None: this is the kernel."""
        return []
