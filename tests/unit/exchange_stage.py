"""A worker's desk and exchange with browsers in front of them.

The trunk port is a list of frames here, so that a test can say what comes through which relay; the clients are the
emulator's browsers, whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_network
from pathlib import Path as FilePath

from fastrelay.agent.hosting import AgentHost
from fastrelay.agent.loading import load_agent
from fastrelay.http.desk import CallRequest
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.dtls import DtlsContexts
from fastrelay.transceiver.session.states import EndReason
from fastrelay.transceiver.trunk_port import Path
from fastrelay.transceiver.worker.desk import Desk
from fastrelay.transceiver.worker.exchange import Exchange
from fastrelay.transceiver.worker.plan import WorkerPlan
from tests.emulator.browser import Browser, Remote
from tests.emulator.network import Datagram

CERTIFICATE = Certificate.generate(1.7e9)
CONTEXTS = DtlsContexts(CERTIFICATE)
OFFER_FILE = FilePath(__file__).parents[1] / "data" / "sdp" / "chrome156.offer.sdp"
RELAY, OTHER_RELAY = ("10.0.0.1", 4000), ("10.0.0.2", 4000)
HOME = ("203.0.113.7", 50_000)
FRAGMENT = "a=ice-ufrag:new{}\r\na=ice-pwd:freshpasswordof24letters\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
OPUS_FRAME = b"\x78" + bytes(60)


class ScriptedPort:
    """A trunk port whose frames the test brings and takes."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", 4000)
        self.arrived: list[tuple[Path, bytes]] = []
        self.sent: list[tuple[Path, bytes]] = []
        self.closed: list[Path] = []
        self.ticks = 0

    def receive(self) -> list[tuple[Path, bytes]]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def send(self, frames: Iterable[tuple[Path, bytes]]) -> None:
        self.sent += frames

    def send_close(self, paths: Iterable[Path]) -> None:
        self.closed += paths

    def tick(self) -> None:
        self.ticks += 1

    def fileno(self) -> int:
        return -1


class Stage:
    """A desk and an exchange behind a scripted port, and browsers in front of it."""

    def __init__(self, desk: Desk, exchange: Exchange, port: ScriptedPort) -> None:
        self.desk, self.exchange, self.port = desk, exchange, port
        self.carried: list[tuple[Path, bytes]] = []
        """All that the exchange has sent."""
        self._loop = asyncio.get_running_loop()
        self._paths: dict[tuple[tuple[str, int], tuple[str, int]], Path] = {}

    def path(self, client: tuple[str, int], relay: tuple[str, int]) -> Path:
        """The same object for the same path, as the real port has it."""
        return self._paths.setdefault((client, relay), Path(client, relay, 0))

    async def open(self, offer: str, address: tuple[str, int] = HOME) -> tuple[str, Browser]:
        opened = await self.desk.open_call(CallRequest(offer, "realtime"))
        said = dict(line.removeprefix("a=").split(":", 1) for line in opened.answer.split("\r\n") if ":" in line)
        remote = Remote(said["ice-ufrag"], said["ice-pwd"], said["fingerprint"].split()[1])
        ufrag = next(line for line in offer.split("\r\n") if line.startswith("a=ice-ufrag:"))
        browser = Browser(
            remote, CONTEXTS, ufrag=ufrag.removeprefix("a=ice-ufrag:"), address=address, now_s=self._loop.time()
        )
        return opened.call_id, browser

    def deliver(self, datagrams: Iterable[Datagram], relay: tuple[str, int] = RELAY) -> None:
        self.port.arrived += [(self.path(each.client, relay), each.payload) for each in datagrams]

    async def turn(self, *browsers: Browser, relay: tuple[str, int] = RELAY) -> None:
        """Carry everything once, each way."""
        for browser in browsers:
            browser.handle_timer(self._loop.time())
            self.deliver(browser.take_outgoing(), relay)
        self.exchange.turn()
        await asyncio.sleep(0.001)
        sent, self.port.sent = self.port.sent, []
        self.carried += sent
        for path, payload in sent:
            for browser in browsers:
                if path.client[:2] == browser.address:
                    browser.receive(Datagram(browser.address, payload), self._loop.time())

    async def until(self, is_so: Callable[[], bool], *browsers: Browser, relay: tuple[str, int] = RELAY) -> None:
        async with asyncio.timeout(5):
            while not is_so():
                await self.turn(*browsers, relay=relay)


def on_stage(play: Callable[[Stage, str], Awaitable[None]]) -> None:
    plan = WorkerPlan(
        slot=0,
        cpu=None,
        trunk=("127.0.0.1", 0),
        relays=(("203.0.113.5", 3478),),
        allowed=(ip_network("127.0.0.1"),),
        neighbours=FilePath("/run/fastrelay"),
        agent="fastrelay.agent.echo:echo",
    )
    offer = OFFER_FILE.read_bytes().decode().replace(_fingerprint_of(OFFER_FILE), CERTIFICATE.fingerprint)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        port = ScriptedPort()
        exchange = Exchange(port, loop)
        host = AgentHost(load_agent(plan.agent), loop)
        desk = Desk(plan, KeyRing.new(now_s=int(time.time())), exchange, host, trunk=port.address)
        try:
            await play(Stage(desk, exchange, port), offer)
        finally:
            await desk.close(EndReason.STOPPED)
            await host.close()

    asyncio.run(run())


def _fingerprint_of(offer: FilePath) -> str:
    lines = offer.read_bytes().decode().split("\r\n")
    return next(line.split()[1] for line in lines if line.startswith("a=fingerprint:sha-256"))


async def connected(stage: Stage, offer: str, address: tuple[str, int] = HOME) -> tuple[str, Browser]:
    call_id, browser = await stage.open(offer, address)
    await stage.until(lambda: browser.is_connected, browser)
    return call_id, browser


async def echo_of(stage: Stage, browser: Browser, *, relay: tuple[str, int] = RELAY) -> bytes:
    """What comes back of one frame."""
    heard: list[bytes] = []

    def has_heard() -> bool:
        heard.extend(packet.payload for packet in browser.take_heard())
        return bool(heard)

    browser.speak(OPUS_FRAME, is_marked=True)
    await stage.until(has_heard, browser, relay=relay)
    return heard[0]
