"""A worker's process: told what to be by its supervisor, it serves calls, says twice a second how it is, and drains.

Lives here: its life from first order to last, and what it does with each order. Must not live here: calls (desk), their
datagrams (exchange), the messages' form (orders), which process replaces which (supervisor.crew).

Without its supervisor a worker drains by itself: its calls go on, and new ones go to whoever has the port then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from fastrelay.agent.hosting import AgentHost
from fastrelay.agent.loading import LoadedAgent
from fastrelay.errors import FastrelayError, PeerError
from fastrelay.http.app import build_app, reload_settings
from fastrelay.http.client_secrets import SecretKeeper
from fastrelay.http.server import Doors
from fastrelay.io.channel import Channel, Message
from fastrelay.observe.logs import facts, tell_suppressed
from fastrelay.transceiver import srtp
from fastrelay.transceiver.session.states import EndReason
from fastrelay.transceiver.trunk_port import OpenTrunkPort
from fastrelay.transceiver.worker.desk import Desk
from fastrelay.transceiver.worker.exchange import Exchange
from fastrelay.transceiver.worker.orders import Charge, Order, Word, in_words
from fastrelay.transceiver.worker.signalling import http_settings, tls_context

LOG = logging.getLogger(__name__)

STATUS_EVERY_S: Final = 0.5
SEND_PATIENCE_S: Final = 0.001
"""The media loop waits for nobody: a status that finds no room is followed by another."""
MESSAGES_AT_ONCE: Final = 8
CALLS_TOLD_MAX: Final = 200
RELAYS_TOLD_MAX: Final = 200
"""A message between processes is bounded."""
GOODBYE_S: Final = 2.0
"""For calls to say goodbye when the process is told to end at once."""
STATM: Final = Path("/proc/self/statm")
AGENTS_S: Final = 3.0
"""For agents to end when their calls have."""
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Worker:
    """One worker at work. Made on its loop."""

    def __init__(
        self, charge: Charge, agent: LoadedAgent, port: OpenTrunkPort, channel: Channel, sockets: list[socket.socket]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._port = port
        self._sockets = sockets
        self._charge = charge
        self._prepared: tuple[int, Charge] | None = None
        self._host = AgentHost(agent, self._loop)
        self._exchange = Exchange(port, self._loop)
        self._desk = Desk(charge.plan, charge.ring, self._exchange, self._host, trunk=port.address)
        self._keeper = SecretKeeper(charge.ring)
        self._app = build_app(self._desk, self._keeper, http_settings(charge))
        self._doors = Doors(self._app)
        self._tls = tls_context(charge.plan.certificate_file, charge.plan.key_file)
        self._is_over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lag_s = 0.0
        self._orders: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            Order.PREPARE: self._prepare,
            Order.COMMIT: self._commit,
            Order.DRAIN: self._drain,
            Order.CALLS: self._tell_calls,
            Order.STOP: self._stop,
        }

    async def run(self) -> None:
        """Serve until the end."""
        self._loop.set_exception_handler(_log_fault)
        self._exchange.start()
        self._desk.start()
        await self._doors.open(self._sockets, tls=self._tls)
        self._loop.add_reader(self._channel.fileno(), self._take_messages)
        self._say(Word.READY, trunk=list(self._port.address), release=version("fastrelay"))
        heartbeat = self._loop.create_task(self._beat())
        try:
            await self._is_over.wait()
        finally:
            await self._end_agents()
            heartbeat.cancel()
            self._loop.remove_reader(self._channel.fileno())
            self._exchange.stop()
            self._say(Word.STATUS, status=self._status())  # what was counted since the last one
            await self._doors.close()
            await asyncio.gather(heartbeat, *self._tasks, return_exceptions=True)

    # --- what is said

    def _say(self, word: Word, **values: Any) -> None:
        with suppress(OSError):  # the channel has just gone; its end is read, and told there
            self._channel.send({"kind": word.value, **values}, timeout_s=SEND_PATIENCE_S)

    async def _beat(self) -> None:
        due_s = self._loop.time()
        while True:
            self._say(Word.STATUS, status=self._status())
            self._lag_s = 0.0
            tell_suppressed()
            due_s = max(due_s + STATUS_EVERY_S, self._loop.time())
            await asyncio.sleep(due_s - self._loop.time())
            self._lag_s = max(self._lag_s, self._loop.time() - due_s)

    def _status(self) -> dict[str, Any]:
        times = os.times()
        now_ms = time.monotonic_ns() // 1_000_000
        return {
            **self._desk.snapshot(),
            "relays": [
                {
                    "address": list(address),
                    "received": received,
                    "lost": lost,
                    "rtt_us": rtt_us,
                    "silent_s": max(now_ms - heard_ms, 0) / 1000,
                }
                for address, received, lost, rtt_us, heard_ms in self._port.relays()[:RELAYS_TOLD_MAX]
            ],
            "agents": {"running": self._host.running, **asdict(self._host.counts)},
            "agent": self._host.agent.name,
            "srtp": srtp.ACTIVE,
            "is_offloading": self._port.is_offloading,
            **self._http_status(),
            "rss_bytes": _rss_bytes(),
            "cpu_s": times.user + times.system,
            "lag_s": round(self._lag_s, 4),
        }

    def _http_status(self) -> dict[str, Any]:
        told = self._doors.snapshot()
        return {
            "answers": told["answers"],
            "connections": told["connections"],
            "connections_turned_away": told["turned_away"],
        }

    # --- what is ordered

    def _take_messages(self) -> None:
        for message in self._channel.waiting(MESSAGES_AT_ONCE, _ignore):
            if message is None:
                self._supervisor_has_gone()
            else:
                self._take(message)

    def _take(self, message: Message) -> None:
        message.close()
        kind = message.body.get("kind")
        order = self._orders.get(kind) if isinstance(kind, str) else None
        if order is None:
            LOG.warning("a message of the supervisor is ignored", extra=facts(kind=str(kind), problem="unknown kind"))
            return
        order(message.body)

    def _supervisor_has_gone(self) -> None:
        self._loop.remove_reader(self._channel.fileno())
        LOG.warning("the supervisor has gone, this worker drains by itself", extra=facts(calls=self._calls))
        self._begin_drain(self._charge.plan.drain_timeout_s, keeps_door=False)

    @property
    def _calls(self) -> int:
        calls: int = self._desk.snapshot()["calls"]
        return calls

    def _drain(self, body: Mapping[str, Any]) -> None:
        deadline_s = body.get("deadline_s")
        deadline_s = float(deadline_s) if isinstance(deadline_s, (int, float)) else None
        self._begin_drain(deadline_s, keeps_door=body.get("keeps_door") is True)

    def _begin_drain(self, deadline_s: float | None, *, keeps_door: bool) -> None:
        was_draining = self._desk.is_draining
        if not keeps_door:  # there is someone else, or nobody any more, to take what comes
            self._doors.stop_listening()
        self._desk.drain(deadline_s)
        if not was_draining:
            LOG.info("worker drains", extra=facts(slot=self._charge.plan.slot, calls=self._calls))
            self._spawn(self._end_when_empty())

    async def _end_when_empty(self) -> None:
        await self._desk.wait_empty()
        await self._close_desk(EndReason.DRAINED)
        self._say(Word.DRAINED)
        self._is_over.set()

    def _stop(self, _: Mapping[str, Any]) -> None:
        self._doors.stop_listening()
        self._spawn(self._end_now())

    async def _end_now(self) -> None:
        await self._close_desk(EndReason.STOPPED)
        self._is_over.set()

    async def _close_desk(self, reason: EndReason) -> None:
        with suppress(TimeoutError):  # whoever has not said goodbye by then is told by silence
            async with asyncio.timeout(GOODBYE_S):
                await self._desk.close(reason)

    async def _end_agents(self) -> None:
        """Agents of calls that are over may have something to finish, as a file."""
        with suppress(TimeoutError):
            async with asyncio.timeout(AGENTS_S):
                await self._host.close()

    def _tell_calls(self, body: Mapping[str, Any]) -> None:
        calls = self._desk.calls()
        self._say(
            Word.CALLS, serial=body.get("serial"), calls=calls[:CALLS_TOLD_MAX], left_out=len(calls[CALLS_TOLD_MAX:])
        )

    # --- other settings

    def _prepare(self, body: Mapping[str, Any]) -> None:
        serial = body.get("serial")
        if isinstance(serial, int):
            self._try_charge(serial, body)

    def _try_charge(self, serial: int, body: Mapping[str, Any]) -> None:
        """Whether this worker could work with other settings. Nothing of them is in force yet."""
        try:
            charge = Charge.parse(body)
            tls_context(charge.plan.certificate_file, charge.plan.key_file)
            http_settings(charge)
            charge.ring.minting_key(time.time())
        except FastrelayError as error:
            self._say(Word.REFUSED, serial=serial, **in_words(error))
            return
        self._prepared = (serial, charge)
        self._say(Word.PREPARED, serial=serial)

    def _commit(self, body: Mapping[str, Any]) -> None:
        if self._prepared is None or self._prepared[0] != body.get("serial"):
            LOG.warning("a message of the supervisor is ignored", extra=facts(kind="commit", problem="not prepared"))
            return
        _, charge = self._prepared
        self._prepared = None
        if self._tls is not None and charge.plan.certificate_file is not None and charge.plan.key_file is not None:
            self._tls.load_cert_chain(charge.plan.certificate_file, charge.plan.key_file)
        self._charge = charge
        self._port.set_ring(charge.ring)
        self._keeper.set_ring(charge.ring)
        reload_settings(self._app, http_settings(charge))
        self._desk.take_plan(charge.plan, charge.ring, self._host)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ignore(nonsense: PeerError) -> None:
    LOG.warning("a message of the supervisor is ignored", extra=facts(problem=nonsense.problem))


def _rss_bytes() -> int:
    return int(STATM.read_text().split()[1]) * PAGE_BYTES


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A bug of ours: said once in one line, and the loop goes on for everyone else."""
    fault = context.get("exception")
    trace = "".join(traceback.format_exception(fault)) if isinstance(fault, BaseException) else None
    LOG.error("a callback failed", extra=facts(problem=str(context.get("message")), trace=trace))
