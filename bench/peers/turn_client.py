"""Clients of a TURN server, as far as a benchmark needs them: an allocation each, and one channel to the transceiver.

Lives here: Allocate and ChannelBind (RFC 8656) over a socket bound to the client's address, which then goes to the
generator. Must not live here: ChannelData (generator_up --channel), servers (turn.py).
"""

import ipaddress
import socket
from hashlib import md5

from aioice import stun

from bench.load.failure import BenchFailure
from bench.load.traffic import FIRST_CLIENT, Traffic
from bench.peers.opening import transceivers_of
from bench.peers.peer import Endpoint, Route

USER, PASSWORD, REALM = "bench", "mark", "bench"
# every client is its own 5-tuple, so all may use the same number
CHANNEL = 0x4000
UDP_TRANSPORT = 17 << 24
LIFETIME_S = 3600
ANSWER_TIMEOUT_S = 2.0
UNAUTHORIZED = 401
ANSWER_MAX = 2048


class TurnClient:
    """One client while its path is being opened."""

    def __init__(self, local: Endpoint, server: Endpoint) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(local)
            self._socket.settimeout(ANSWER_TIMEOUT_S)
            self._socket.connect(server)
        except OSError:
            self._socket.close()
            raise
        self._nonce = b""
        self._realm = REALM

    def allocate(self) -> Endpoint:
        """The relayed address: asked once without credentials, as every client does, to be told realm and nonce."""
        asked: dict[str, object] = {"REQUESTED-TRANSPORT": UDP_TRANSPORT, "LIFETIME": LIFETIME_S}
        answer = self._ask(stun.Method.ALLOCATE, asked)
        if answer.attributes.get("ERROR-CODE", (0, ""))[0] == UNAUTHORIZED:
            self._nonce, self._realm = answer.attributes["NONCE"], answer.attributes["REALM"]
            answer = self._ask(stun.Method.ALLOCATE, asked)
        self._expect(answer)
        host, port = answer.attributes["XOR-RELAYED-ADDRESS"]
        return str(host), int(port)

    def bind_channel(self, to: Endpoint) -> None:
        """Binds the channel, which also permits the transceiver to answer."""
        self._expect(self._ask(stun.Method.CHANNEL_BIND, {"CHANNEL-NUMBER": CHANNEL, "XOR-PEER-ADDRESS": to}))

    def close(self) -> None:
        """Frees the address; the allocation stays."""
        self._socket.close()

    def _ask(self, method: stun.Method, attributes: dict[str, object]) -> stun.Message:
        request = stun.Message(message_method=method, message_class=stun.Class.REQUEST)
        request.attributes.update(attributes)
        if self._nonce:
            request.attributes |= {"USERNAME": USER, "NONCE": self._nonce, "REALM": self._realm}
            # RFC 8489 §9.2.2 prescribes this hash
            key = md5(f"{USER}:{self._realm}:{PASSWORD}".encode(), usedforsecurity=False).digest()
            request.add_message_integrity(key)
        try:
            self._socket.send(bytes(request))
            return stun.parse_message(self._socket.recv(ANSWER_MAX))
        except (OSError, ValueError) as error:
            raise BenchFailure(f"TURN: no answer to {method.name}: {error}") from error

    def _expect(self, answer: stun.Message) -> None:
        if answer.message_class is not stun.Class.RESPONSE:
            raise BenchFailure(f"TURN: {answer.message_method.name} refused: {answer.attributes.get('ERROR-CODE')}")


def open_channels(server: Endpoint, traffic: Traffic, route: Route) -> None:
    """Opens a channel for every client of a traffic; their addresses are free again afterwards."""
    first = ipaddress.IPv4Address(FIRST_CLIENT)
    transceivers = transceivers_of(route)
    for number in range(traffic.clients):
        client = TurnClient((str(first + number), traffic.client_port), server)
        try:
            client.allocate()
            client.bind_channel(transceivers[number % len(transceivers)])
        finally:
            client.close()
