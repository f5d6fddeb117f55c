"""The desk of a worker: calls are made of offers, within bounds, changed, told of, and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from fastrelay.agent.hosting import AgentHost
from fastrelay.agent.loading import load_agent
from fastrelay.http.desk import CallRefused, CallRequest, Refusal
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import open_token
from fastrelay.transceiver.session.states import EndReason
from fastrelay.transceiver.trunk_port import open_trunk_port
from fastrelay.transceiver.worker.desk import Desk, call_id_of, session_id_of, slot_of
from fastrelay.transceiver.worker.exchange import Exchange
from fastrelay.transceiver.worker.plan import WorkerPlan

OFFERS = Path(__file__).parents[1] / "data" / "sdp"
OFFER = (OFFERS / "chrome156.offer.sdp").read_bytes().decode()
RELAYS = (("203.0.113.5", 3478), ("2001:db8::5", 3478))
FRAGMENT = "a=ice-ufrag:fresh\r\na=ice-pwd:freshpasswordof24letters\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"


@dataclass
class Bench:
    """A desk with everything that it works with."""

    desk: Desk
    exchange: Exchange
    ring: KeyRing
    trunk: tuple[str, int]

    async def open(self, offer: str = OFFER) -> str:
        return (await self.desk.open_call(CallRequest(offer, "realtime"))).call_id


def with_desk(work: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    """Run `work` on a loop with a desk on it, and see that nothing is left of it."""
    plan = WorkerPlan(
        slot=3,
        cpu=None,
        trunk=("127.0.0.1", 0),
        relays=RELAYS,
        allowed=(ip_network("127.0.0.1"),),
        neighbours=Path("/run/fastrelay"),
        agent="fastrelay.agent.echo:echo",
    )

    async def run() -> None:
        ring = KeyRing.new(now_s=int(time.time()))
        with open_trunk_port(("127.0.0.1", 0), ring, plan.allowed) as port:
            loop = asyncio.get_running_loop()
            exchange = Exchange(port, loop)
            host = AgentHost(load_agent(plan.agent), loop)
            desk = Desk(replace(plan, **settings), ring, exchange, host, trunk=port.address)
            exchange.start()
            desk.start()
            try:
                await work(Bench(desk, exchange, ring, port.address))
            finally:
                await desk.close(EndReason.STOPPED)
                await host.close()
                exchange.stop()

    asyncio.run(run())


async def refusal_of(opening: Awaitable[object]) -> CallRefused:
    with pytest.raises(CallRefused) as caught:
        await opening
    return caught.value


@pytest.mark.parametrize("offer", sorted(OFFERS.glob("*.sdp")), ids=lambda path: path.stem)
def test_answer_names_the_relays_and_a_token_for_this_worker(offer: Path) -> None:
    text = offer.read_bytes().decode()

    async def work(bench: Bench) -> None:
        opened = await bench.desk.open_call(CallRequest(text, "whip"))
        lines = opened.answer.split("\r\n")
        candidates = {line.split()[4] for line in lines if line.startswith("a=candidate:")}
        assert candidates == {ip for ip, _ in RELAYS}
        ufrags = {line.removeprefix("a=ice-ufrag:") for line in lines if line.startswith("a=ice-ufrag:")}
        assert len(ufrags) == 1
        token = open_token(ufrags.pop(), bench.ring, now_s=time.time())
        assert token.transceiver == bench.trunk
        assert call_id_of(token.session_id) == opened.call_id
        assert slot_of(opened.call_id) == 3
        assert "a=ice-lite" in lines

    with_desk(work)


def test_bad_offer_is_refused_with_its_line() -> None:
    async def work(bench: Bench) -> None:
        error = await refusal_of(bench.open(OFFER.replace("opus/48000/2", "G729/8000")))
        assert error.refusal is Refusal.INVALID_OFFER
        assert error.param == "sdp"
        assert "Opus" in error.problem
        assert bench.desk.snapshot()["refused"] == {"invalid_offer": 1}
        assert bench.desk.snapshot()["calls"] == 0

    with_desk(work)


def test_calls_are_bounded() -> None:
    async def work(bench: Bench) -> None:
        for _ in range(2):
            await bench.open()
        error = await refusal_of(bench.open())
        assert error.refusal is Refusal.TOO_MANY_CALLS
        assert error.retry_after_s

    with_desk(work, calls_max=2)


def test_offers_are_bounded_in_speed() -> None:
    async def work(bench: Bench) -> None:
        await bench.open()
        await bench.open()
        error = await refusal_of(bench.open())
        assert error.refusal is Refusal.TOO_MANY_OFFERS
        assert error.retry_after_s == 1

    with_desk(work, offers_per_s=1, offers_burst=2)


def test_draining_takes_no_calls_and_ends_the_rest_in_time() -> None:
    async def work(bench: Bench) -> None:
        await bench.open()
        bench.desk.drain(0.05)
        assert bench.desk.is_draining
        assert (await refusal_of(bench.open())).refusal is Refusal.DRAINING
        await asyncio.wait_for(bench.desk.wait_empty(), 5)
        assert bench.desk.snapshot()["ended"] == {"drained": 1}

    with_desk(work)


def test_call_that_is_ended_is_gone() -> None:
    async def work(bench: Bench) -> None:
        call_id = await bench.open()
        assert bench.desk.statistics(call_id)["state"] == "waiting"
        assert [call["call_id"] for call in bench.desk.calls()] == [call_id]
        await bench.desk.end_call(call_id)
        await asyncio.wait_for(bench.desk.wait_empty(), 5)
        assert (await refusal_of(bench.desk.end_call(call_id))).refusal is Refusal.NO_SUCH_CALL
        assert bench.desk.snapshot()["ended"] == {"client_hung_up": 1}

    with_desk(work)


def test_ice_restart_mints_another_token_for_the_same_session() -> None:
    async def work(bench: Bench) -> None:
        opened = await bench.desk.open_call(CallRequest(OFFER, "whip"))
        assert bench.desk.etag_of(opened.call_id) == opened.etag
        restarted = await bench.desk.restart_ice(opened.call_id, FRAGMENT)
        assert restarted.etag == bench.desk.etag_of(opened.call_id) != opened.etag
        ufrag = next(line for line in restarted.fragment.split("\r\n") if line.startswith("a=ice-ufrag:"))
        token = open_token(ufrag.removeprefix("a=ice-ufrag:"), bench.ring, now_s=time.time())
        assert call_id_of(token.session_id) == opened.call_id

    with_desk(work)


def test_ice_restarts_are_bounded() -> None:
    async def work(bench: Bench) -> None:
        call_id = await bench.open()
        etags = {bench.desk.etag_of(call_id)}
        for _ in range(10):
            etags.add((await bench.desk.restart_ice(call_id, FRAGMENT)).etag)
        assert len(etags) == 11
        error = await refusal_of(restart_until_refused(bench, call_id))
        assert error.refusal is Refusal.TOO_MANY_OFFERS

    with_desk(work)


async def restart_until_refused(bench: Bench, call_id: str) -> None:
    for _ in range(10):  # a second or two may pass meanwhile
        await bench.desk.restart_ice(call_id, FRAGMENT)


@pytest.mark.parametrize(
    ("fragment", "complaint"),
    [
        pytest.param(FRAGMENT.replace("a=ice-ufrag:fresh\r\n", ""), "ice-ufrag", id="without ufrag"),
        pytest.param("nonsense", "", id="no fragment"),
    ],
)
def test_restart_needs_a_usable_fragment(fragment: str, complaint: str) -> None:
    async def work(bench: Bench) -> None:
        call_id = await bench.open()
        before = bench.desk.etag_of(call_id)
        error = await refusal_of(bench.desk.restart_ice(call_id, fragment))
        assert error.refusal is Refusal.INVALID_OFFER
        assert complaint in error.problem
        assert bench.desk.etag_of(call_id) == before

    with_desk(work)


@pytest.mark.parametrize(
    ("call_id", "home"),
    [
        pytest.param(call_id_of(bytes([9]) + bytes(7)), Path("/run/fastrelay/http-9.sock"), id="a neighbour's"),
        pytest.param(call_id_of(bytes([3]) + bytes(7)), None, id="ours"),
        pytest.param("rtc_", None, id="empty"),
        pytest.param("rtc_!!", None, id="no base32"),
        pytest.param("rtc_" + "a" * 200, None, id="too long"),
    ],
)
def test_home_of_a_call_is_read_from_its_name(call_id: str, home: Path | None) -> None:
    async def work(bench: Bench) -> None:
        assert bench.desk.home_of(call_id) == home

    with_desk(work)


def test_name_of_a_call_is_its_session() -> None:
    session_id = bytes(range(8))
    assert session_id_of(call_id_of(session_id)) == session_id
