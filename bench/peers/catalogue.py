"""Every relay that fastrelay is compared with, in the order of the report.

Lives here: the list. Must not live here: anything about a single one.
"""

from collections.abc import Callable, Collection
from typing import Final

from bench.peers.kernel import Direct, KernelNat
from bench.peers.nginx import Nginx, NginxScript
from bench.peers.peer import Peer
from bench.peers.recipes import GoRelay, PythonRelay, UvloopRelay
from bench.peers.rtpengine import Rtpengine
from bench.peers.turn import Coturn, Pion

# made anew for each run: a peer holds its process
PEERS: dict[str, Callable[[], Peer]] = {
    "direct": Direct,
    "asyncio": PythonRelay,
    "uvloop": UvloopRelay,
    "go-single-flow": lambda: GoRelay(is_batched=False, is_shared=False),
    "go-batch-flow": lambda: GoRelay(is_batched=True, is_shared=False),
    "go-single-shared": lambda: GoRelay(is_batched=False, is_shared=True),
    "go-batch-shared": lambda: GoRelay(is_batched=True, is_shared=True),
    "nginx": Nginx,
    "nginx-js": NginxScript,
    "coturn": Coturn,
    "pion": Pion,
    "rtpengine": Rtpengine,
    "nft-dnat": KernelNat,
}


GROUPS: Final = (
    ("asyncio", "uvloop"),
    ("go-single-flow", "go-batch-flow", "go-single-shared", "go-batch-shared"),
    ("nginx",),
    ("nginx-js",),
    ("coturn", "pion"),
    ("rtpengine",),
)
"""Who takes turns with each other, and with fastrelay. What one of a group cannot have, nobody of the group has: the
smallest queue, the fewest flows and transceivers are everyone's. And all want more ports than an address has."""


def make_peers(names: Collection[str] | None = None) -> list[Peer]:
    """New peers, all of them or those named."""
    return [make() for name, make in PEERS.items() if names is None or name in names]
