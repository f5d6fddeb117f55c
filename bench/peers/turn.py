"""TURN servers, which relay ChannelData: coturn and pion.

Lives here: how they are started. Must not live here: their clients (turn_client.py).
"""

from collections.abc import Mapping

from bench.peers.child_peer import ChildPeer
from bench.peers.install import debian, go_program, go_version
from bench.peers.peer import BUFFER_BYTES, Endpoint, Opening, Route
from bench.peers.recipes import GO_DEFAULTS
from bench.peers.running import OUT
from bench.peers.turn_client import PASSWORD, REALM, USER
from fastrelay.wire.address import format_endpoint


class Coturn(ChildPeer):
    """coturn with one relay thread."""

    name = "coturn"
    what = "coturn, ChannelData, one relay thread: one packet a call, a port per flow"
    note = (
        "It sets its listener's buffer itself, and 4,096 packets are what that holds: in this comparison everyone is "
        "drained with 4,096. It does more than a relay: it checks permissions for each packet."
    )
    opening = Opening.CHANNEL
    # its listener has 2 MiB by its own choice, at twice the accounting; a 160-byte packet counts as 768
    queue_packets = 4096

    def prepare(self) -> str:
        """Installs the Debian package, which starts no service."""
        return f"coturn {debian('coturn')}"

    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """One relay thread, long-term credentials, loopback allowed, nothing but UDP, no log, no configuration file."""
        OUT.mkdir(parents=True, exist_ok=True)
        return [
            *("turnserver", "-n", "--listening-ip", listen[0], "--relay-ip", listen[0]),
            *("--listening-port", str(listen[1]), "--relay-threads", "1"),
            *("--lt-cred-mech", "--user", f"{USER}:{PASSWORD}", "--realm", REALM),
            *("--allow-loopback-peers", "--no-tcp", "--no-tls", "--no-dtls", "--no-tcp-relay", "--no-cli"),
            *("--no-rfc5780", "--no-software-attribute", "--log-file", "/dev/null", "--no-stdout-log"),
            *("--pidfile", str(OUT / "coturn.pid"), "--userdb", str(OUT / "coturn.db")),
        ]


class Pion(ChildPeer):
    """pion's server behind a main function of ours."""

    name = "pion"
    what = "pion TURN in Go, ChannelData: one packet a call, a port per flow"
    note = "It is drained with 4,096 packets, as coturn beside it. It checks permissions for each packet."
    opening = Opening.CHANNEL

    def prepare(self) -> str:
        """Builds it."""
        go_program("turn")
        return go_version("github.com/pion/turn/v4")

    def environment(self) -> Mapping[str, str]:
        """Go's own settings, whatever those of the harness."""
        return GO_DEFAULTS

    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """Its options."""
        return [
            *(str(go_program("turn")), "-listen", format_endpoint(*listen), "-buffer", str(BUFFER_BYTES)),
            *("-user", USER, "-password", PASSWORD, "-realm", REALM),
        ]
