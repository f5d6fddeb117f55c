"""A flood, and the live calls beside it.

Lives here: what attackers send, two hundred callers on one socket, the transceiver that hears them, and what of theirs
arrived. Must not live here: the relay (process), how much loss is too much (test_flood).

Attackers are bench/load/generator_up.c: each datagram leaves from its own 127.x.y.z, as fast as a processor can.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import build
from bench.load.process import Program
from fastrelay.io.sockets import IP_PKTINFO
from fastrelay.routing import Key, KeyRing, MintedToken, mint_token
from fastrelay.transceiver import OpenTrunkPort
from fastrelay.transceiver import Path as TrunkPath
from fastrelay.wire.stun import build_check
from tests.live.ends import PATIENCE_S, Address

CALLS = 200
PACKET_EVERY_S = 0.02
STEP_S = 0.002
FORGERY_EVERY = 50  # packets between two forged checks from a live caller's own address
FIRST_ATTACKER, ATTACKERS = "127.16.0.0:40000", 4_000_000
CALLERS_NETWORK = bytes([127, 200, 0])
SPEECH = struct.Struct("!2s4sHI")
SPEECH_BYTES = 160
ANSWER = bytes.fromhex("0101 0000 2112a442") + bytes(12)
RELAY_CPU, OTHERS_CPU = 0, 1
FILE_DATAGRAMS_MAX = 64  # CHECKS_MAX of generator_up.c
JUNK = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x80\x6f" + bytes(158),
    b"\x16\xfe\xfd" + bytes(200),
    bytes.fromhex("00010004 2112a442") + bytes(12),
    b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
    bytes(range(256)) * 4,
    b"\xff",
    b"\x80\xc8" + bytes(1300),
]


def check_of(minted: MintedToken, password: str | None = None) -> bytes:
    return build_check(f"{minted.ufrag}:evil", password or minted.password)


@dataclass(frozen=True, slots=True)
class Attack:
    """What attackers send in turn. `answered` are the checks that their transceiver believes."""

    datagrams: list[bytes]
    answered: frozenset[bytes] = frozenset()

    def write(self, path: Path) -> Path:
        """The file that generator_up reads."""
        assert len(self.datagrams) <= FILE_DATAGRAMS_MAX
        path.write_bytes(b"".join(len(each).to_bytes(2, "big") + each for each in self.datagrams))
        return path

    def __add__(self, other: Attack) -> Attack:
        return Attack(self.datagrams + other.datagrams, self.answered | other.answered)


def forged_stun(ring: KeyRing, to: Address) -> Attack:
    """Tokens sealed with another secret under a key id of ours, and authentic ones with a wrong password."""
    stolen_id = KeyRing((Key(ring.keys[0].id, b"attacker" * 4, 0),))
    forged = [check_of(mint_token(stolen_id, to=to, now_s=time.time())) for _ in range(12)]
    guessed = [check_of(mint_token(ring, to=to, now_s=time.time()), "guess" * 5) for _ in range(4)]
    return Attack(forged + guessed)


def valid_tokens(ring: KeyRing, to: Address) -> Attack:
    """Real callers' tokens, shown from addresses that are not theirs. A few of the checks find a believing session."""
    checks = [check_of(mint_token(ring, to=to, now_s=time.time())) for _ in range(40)]
    return Attack(checks, frozenset(checks[:8]))


def junk() -> Attack:
    return Attack(JUNK)


@contextmanager
def flooding(attack: Attack, target: Address, folder: Path) -> Iterator[None]:
    """As fast as one processor can, for as long as the block lasts."""
    file = attack.write(folder / "attack")
    program = build.program("generator_up")
    options = ["--clients", str(ATTACKERS), "--first-client", FIRST_ATTACKER, "--checks", str(file)]
    generator = Program([str(program), *options], OTHERS_CPU, nice=0)
    try:
        generator.ask(f"to {target[0]}:{target[1]}")
        generator.send(b"checks 1000000000000\n")  # until it is stopped
        yield
    finally:
        generator.stop()


@contextmanager
def preferred(pid: int, cpu: int) -> Iterator[None]:
    """On this processor and, where we may, before the flood and the rest of the machine."""
    before_cpus, before_nice = os.sched_getaffinity(pid), os.getpriority(os.PRIO_PROCESS, pid)
    try:
        if os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, pid, -20)
        if cpu in before_cpus:
            os.sched_setaffinity(pid, {cpu})
        yield
    finally:
        os.sched_setaffinity(pid, before_cpus)
        os.setpriority(os.PRIO_PROCESS, pid, before_nice)


@dataclass(slots=True)
class Heard:
    """Which of a call's packets have arrived, by number."""

    at_transceiver: list[set[int]] = field(default_factory=lambda: [set() for _ in range(CALLS)])
    at_caller: list[set[int]] = field(default_factory=lambda: [set() for _ in range(CALLS)])


class LiveCalls:
    """Two hundred calls and their transceiver, turned by one loop that never waits for a packet."""

    def __init__(self, relay: Address, port: OpenTrunkPort, ring: KeyRing, attack: Attack) -> None:
        self.heard = Heard()
        self.sent = [0] * CALLS
        self._round = 0
        self.strays = 0  # speech that came with another address than its caller's
        self._relay, self._port, self._answered = relay, port, attack.answered
        self._paths: list[TrunkPath | None] = [None] * CALLS
        minted = [mint_token(ring, to=port.address, now_s=time.time()) for _ in range(CALLS)]
        self._checks = [build_check(f"{each.ufrag}:live", each.password) for each in minted]
        self._check_of = {check: call for call, check in enumerate(self._checks)}
        self._forgery = forged_stun(ring, ("127.0.0.1", 9)).datagrams
        self._control = [
            [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, CALLERS_NETWORK + bytes([call + 1]), bytes(4)))]
            for call in range(CALLS)
        ]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("0.0.0.0", 0))

    def close(self) -> None:
        self._socket.close()

    def connect(self) -> None:
        """Every call's check is answered before the flood begins."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not all(self._paths):
            assert time.monotonic() < deadline_s, f"{self._paths.count(None)} calls were not admitted"
            for call, path in enumerate(self._paths):
                if path is None:
                    self._send(call, self._checks[call])
            self._turn(time.monotonic() + 5 * STEP_S)

    def speak(self, seconds: float) -> None:
        """All calls speak on their schedule: one that is late catches up, and skips nothing."""
        started_s = time.monotonic()
        total = round(seconds / PACKET_EVERY_S) * CALLS
        done = 0
        while done < total:
            now_s = time.monotonic()
            due = min(total, int((now_s - started_s) / PACKET_EVERY_S * CALLS))
            for number in range(done, due):
                self._speak(number % CALLS, self._round + number // CALLS)
            done = max(done, due)
            self._turn(now_s + STEP_S)
            self._port.tick()
        self._round += total // CALLS

    def settle(self) -> None:
        """Wait for the last echoes, which may never come; a relay that was held up has a full queue to work through."""
        deadline_s = time.monotonic() + PATIENCE_S / 2
        while self.lost_echoes() and time.monotonic() < deadline_s:
            self._turn(time.monotonic() + STEP_S)

    def lost_up(self) -> int:
        return sum(self.sent) - sum(map(len, self.heard.at_transceiver))

    def lost_echoes(self) -> int:
        return sum(self.sent) - sum(map(len, self.heard.at_caller))

    def _speak(self, call: int, number: int) -> None:
        packet = SPEECH.pack(b"\x80\x6f", b"LIVE", call, number).ljust(SPEECH_BYTES, b"\x5a")
        self.sent[call] += self._send(call, packet)
        if (number + call) % FORGERY_EVERY == 0:
            self._send(call, self._forgery[number % len(self._forgery)])

    def _send(self, call: int, packet: bytes) -> bool:
        try:
            self._socket.sendmsg([packet], self._control[call], 0, self._relay)
        except BlockingIOError:
            return False
        return True

    def _turn(self, until_s: float) -> None:
        while (wait_s := until_s - time.monotonic()) > 0:
            if select.select([self._port.fileno(), self._socket.fileno()], [], [], wait_s)[0]:
                self._hear_frames()
                self._hear_echoes()

    def _hear_frames(self) -> None:
        answers = []
        for path, payload in self._port.receive():
            if payload[2:6] == b"LIVE":
                _, _, call, number = SPEECH.unpack_from(payload)
                self.heard.at_transceiver[call].add(number)
                self.strays += path != self._paths[call]
                answers.append((path, payload))
            elif (caller := self._check_of.get(payload)) is not None:
                self._paths[caller] = path
                answers.append((path, ANSWER))
            elif payload in self._answered:
                answers.append((path, ANSWER))
        self._port.send(answers)

    def _hear_echoes(self) -> None:
        for _ in range(256):
            try:
                packet = self._socket.recv(2048)
            except BlockingIOError:
                return
            if packet[2:6] == b"LIVE":
                _, _, call, number = SPEECH.unpack_from(packet)
                self.heard.at_caller[call].add(number)
