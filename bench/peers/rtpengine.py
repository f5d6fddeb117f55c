"""rtpengine in user space: a port for each call, which signalling has announced.

Lives here: its options, and the calls, by its NG protocol. Must not live here: how it is filled (candidate.py).
"""

import json
import re
import socket

from bench.load.failure import BenchFailure
from bench.load.traffic import CLIENT_PORT, FIRST_CLIENT
from bench.peers.child_peer import ChildPeer
from bench.peers.install import debian
from bench.peers.opening import transceivers_of
from bench.peers.peer import Endpoint, Opening, Route
from bench.peers.running import OUT
from fastrelay.wire.address import format_endpoint

# media ports, four to a call, between the benchmark's own and the ephemeral range
FIRST_MEDIA_PORT, LAST_MEDIA_PORT = 23000, 32000
# more do not find ports; clients beyond them share calls, whose packets it takes from wherever they come
CALLS_MAX = 2048
ANSWER_TIMEOUT_S = 5.0
ANSWER_MAX = 65536
SDP = """\
v=0\r
o=- 1 1 IN IP4 {address}\r
s=-\r
c=IN IP4 {address}\r
t=0 0\r
m=audio {port} RTP/AVP 111\r
a=rtpmap:111 opus/48000/2\r
a=rtcp-mux\r
"""
MEDIA_PORT = re.compile(r"^m=audio (\d+) ", re.MULTILINE)


class Rtpengine(ChildPeer):
    """Plain RTP between both ends, without the kernel module."""

    name = "rtpengine"
    what = "rtpengine in user space: one packet a call, a port per call"
    note = (
        f"With {CALLS_MAX:,} calls it has taken the ports between the benchmark's and the ephemeral ones, four "
        "for each, so everyone in this comparison has as many. It keeps statistics of each RTP stream."
    )
    flows_max = CALLS_MAX
    opening = Opening.CALL

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Endpoint] = []

    def prepare(self) -> str:
        """Installs the Debian package, which starts no service."""
        return f"rtpengine {debian('rtpengine-daemon')}"

    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """`listen` is where calls are announced; no kernel table, one thread that forwards."""
        return [
            *("rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=2", "--table=-1"),
            *(f"--interface={listen[0]}", f"--listen-ng={format_endpoint(*listen)}", "--num-threads=1"),
            *(f"--port-min={FIRST_MEDIA_PORT}", f"--port-max={LAST_MEDIA_PORT}"),
            *("--timeout=3600", "--silent-timeout=3600", f"--pidfile={OUT / 'rtpengine.pid'}"),
        ]

    def start(self, route: Route) -> None:
        """Starts it and announces the calls."""
        super().start(route)
        transceivers = transceivers_of(route)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as signalling:
            signalling.settimeout(ANSWER_TIMEOUT_S)
            signalling.connect(super().client_endpoints()[0])
            for number in range(min(route.clients, CALLS_MAX)):
                port = announce(signalling, number, transceivers[number % len(transceivers)])
                self._calls.append((route.listen, port))

    def stop(self) -> None:
        """Ends it and its calls."""
        super().stop()
        self._calls = []

    def client_endpoints(self) -> list[Endpoint]:
        """A port for each call."""
        return self._calls


def announce(signalling: socket.socket, number: int, transceiver: Endpoint) -> int:
    """Offer and answer of one call; returns the port its client sends to."""
    # asymmetric: both ends are where they say, and nothing has to be learned from packets
    call: dict[str, object] = {"call-id": f"bench-{number}", "from-tag": "client", "flags": ["asymmetric"]}
    ask(signalling, call | {"command": "offer", "sdp": SDP.format(address=FIRST_CLIENT, port=CLIENT_PORT)})
    described = SDP.format(address=transceiver[0], port=transceiver[1])
    answer = ask(signalling, call | {"command": "answer", "to-tag": "transceiver", "sdp": described})
    found = MEDIA_PORT.search(str(answer.get("sdp", "")))
    if found is None:
        raise BenchFailure(f"rtpengine: an answer without a port: {answer}")
    return int(found.group(1))


def ask(signalling: socket.socket, command: dict[str, object]) -> dict[str, object]:
    """One command of the NG protocol: a cookie, a space, and JSON, there and back."""
    cookie = f"{command['call-id']}-{command['command']}"
    try:
        signalling.send(f"{cookie} {json.dumps(command)}".encode())
        answered, _, said = signalling.recv(ANSWER_MAX).decode().partition(" ")
    except OSError as error:
        raise BenchFailure(f"rtpengine: no answer to {cookie}: {error}") from error
    answer: dict[str, object] = json.loads(said)
    if answered != cookie or answer.get("result") != "ok":
        raise BenchFailure(f"rtpengine: {cookie}: {said}")
    return answer
