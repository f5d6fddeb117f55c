"""The exchange of a worker: each datagram finds its call by its token or its address, and audio leaves on time.

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
from fastrelay.transceiver.worker.exchange import PATHS_PER_CALL_MAX, Exchange
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


def test_call_goes_from_check_to_echo() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        assert await echo_of(stage, browser) == OPUS_FRAME
        told = stage.desk.statistics(call_id)
        assert told["state"] == "established"
        assert told["incoming"]["packets"] == told["outgoing"]["packets"] == 1
        steps = list(told["setup"].values())
        assert steps == sorted(steps)

    on_stage(play)


def test_calls_do_not_hear_each_other() -> None:
    async def play(stage: Stage, offer: str) -> None:
        browsers = [(await connected(stage, offer, (f"203.0.113.{n}", 50_000)))[1] for n in range(5)]
        for n, browser in enumerate(browsers):
            browser.speak(OPUS_FRAME + bytes([n]))
        heard: list[list[bytes]] = [[] for _ in browsers]

        def all_heard() -> bool:
            for each, browser in zip(heard, browsers, strict=True):
                each += [packet.payload for packet in browser.take_heard()]
            return all(heard)

        await stage.until(all_heard, *browsers)
        assert heard == [[OPUS_FRAME + bytes([n])] for n in range(5)]

    on_stage(play)


def test_reloaded_page_takes_its_address_to_the_new_call() -> None:
    async def play(stage: Stage, offer: str) -> None:
        first_id, _ = await connected(stage, offer)
        second_id, second = await stage.open(offer)
        await stage.until(lambda: second.is_connected, second)
        assert await echo_of(stage, second) == OPUS_FRAME
        assert stage.desk.statistics(first_id)["incoming"]["packets"] == 0
        await stage.desk.end_call(first_id)
        await asyncio.sleep(0.01)
        assert stage.port.closed == [], "the address is the new call's, and its flow must stay"
        assert await echo_of(stage, second) == OPUS_FRAME
        assert stage.desk.statistics(second_id)["state"] == "established"

    on_stage(play)


def test_client_that_another_relay_carries_is_answered_through_it() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        assert await echo_of(stage, browser) == OPUS_FRAME
        stage.carried.clear()
        assert await echo_of(stage, browser, relay=OTHER_RELAY) == OPUS_FRAME
        assert {path.relay for path, _ in stage.carried} == {OTHER_RELAY}

    on_stage(play)


def test_client_that_moves_is_followed_by_its_check() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        browser.move(("198.51.100.1", 1234))
        browser.speak(OPUS_FRAME)
        await stage.turn(browser)
        assert stage.exchange.counts.unknown_client == 1, "no audio of an address that has shown no check"
        browser.restart_ice(browser.remote, browser.ufrag, asyncio.get_running_loop().time())
        await stage.until(lambda: browser.is_connected, browser)
        assert await echo_of(stage, browser) == OPUS_FRAME
        assert stage.desk.statistics(call_id)["state"] == "established"

    on_stage(play)


def test_tokens_that_ice_restarts_replace_are_retired() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        for n in range(3):
            restarted = await stage.desk.restart_ice(call_id, FRAGMENT.format(n))
            said = dict(
                line.removeprefix("a=").split(":", 1) for line in restarted.fragment.split("\r\n") if ":" in line
            )
            remote = Remote(said["ice-ufrag"], said["ice-pwd"], browser.remote.fingerprint)
            browser.restart_ice(remote, f"new{n}", asyncio.get_running_loop().time())
            await stage.until(lambda: browser.is_connected, browser)
        assert stage.exchange.tokens_known == 1
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)


def test_call_is_known_by_a_bounded_number_of_paths() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        for n in range(3 * PATHS_PER_CALL_MAX):
            assert await echo_of(stage, browser, relay=(f"10.0.1.{n}", 4000)) == OPUS_FRAME
        assert stage.exchange.paths_known <= PATHS_PER_CALL_MAX
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)


def test_ended_call_leaves_nothing_and_is_closed_at_the_relay() -> None:
    async def play(stage: Stage, offer: str) -> None:
        call_id, browser = await connected(stage, offer)
        await stage.desk.end_call(call_id)
        await asyncio.wait_for(stage.desk.wait_empty(), 5)
        assert stage.port.closed == [stage.path(HOME, RELAY)]
        assert stage.exchange.paths_known == 0
        browser.speak(OPUS_FRAME)
        await stage.turn(browser)
        assert stage.exchange.counts.unknown_client == 1

    on_stage(play)


def test_client_that_closes_ends_its_call() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        browser.close(asyncio.get_running_loop().time())
        await stage.until(lambda: stage.desk.snapshot()["calls"] == 0, browser)
        assert stage.desk.snapshot()["ended"] == {"client_hung_up": 1}

    on_stage(play)


def test_what_belongs_to_nobody_is_counted() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await stage.open(offer)
        stranger = Browser(Remote("x" * 50, browser.remote.password, CERTIFICATE.fingerprint), CONTEXTS)
        await stage.turn(stranger)
        payloads = [b"\x00\x01short", b"\x16dtls", b"\x80\x6fno such call", b"\x80\xc8\x00\x00", b"\xff", b"\x40turn"]
        stage.deliver(Datagram(("203.0.113.9", 9), payload) for payload in payloads)
        stage.exchange.turn()
        counts = stage.exchange.counts
        assert (counts.unknown_session, counts.unknown_client, counts.malformed) == (1, 3, 3)
        assert stage.port.sent == []

    on_stage(play)


def test_forged_audio_of_a_known_client_is_counted_and_the_call_goes_on() -> None:
    async def play(stage: Stage, offer: str) -> None:
        _, browser = await connected(stage, offer)
        assert await echo_of(stage, browser) == OPUS_FRAME
        stage.deliver([Datagram(HOME, b"\x80\x6f" + bytes(60)), Datagram(HOME, b"\x80\x6f")])
        stage.exchange.turn()
        assert stage.exchange.counts.audio_refused == 2
        assert await echo_of(stage, browser) == OPUS_FRAME

    on_stage(play)
