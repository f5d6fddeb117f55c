"""Which question about a transceiver gets which answer.

Lives here: paths and documents. Must not live here: connections (observe.admin.server), forms of answers
(observe.admin.replies), metrics (metrics).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from fastrelay.observe.admin.replies import Answer, answered, document, health, metrics
from fastrelay.observe.status import ServiceState, ServiceStatus, WorkerState
from fastrelay.transceiver.supervisor.crew import Crew
from fastrelay.transceiver.supervisor.metrics import TransceiverCollector
from fastrelay.transceiver.supervisor.process import Stage
from fastrelay.transceiver.worker.orders import Order, Word

SILENT_AFTER_S: Final = 2.0
CALLS_PATIENCE_S: Final = 2.0


class Subject(Protocol):
    """Whom all of it is about."""

    @property
    def crew(self) -> Crew: ...

    def status(self) -> ServiceStatus: ...


class TransceiverRoutes:
    """Answers one request after another."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(TransceiverCollector(lambda: subject.crew, subject.status))
        self._answers: Mapping[str, Answer] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/version": self._version,
            "/status": self._status,
            "/calls": self._calls,
            "/debug/config": self._config,
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Whatever was asked, an answer."""
        return await answered(self._answers, request)

    async def _livez(self, _: web.BaseRequest) -> web.Response:
        return health(dead_because(self._subject), "alive")

    async def _readyz(self, _: web.BaseRequest) -> web.Response:
        return health(unready_because(self._subject), "ready")

    async def _metrics(self, _: web.BaseRequest) -> web.Response:
        return metrics(self._registry)

    async def _version(self, _: web.BaseRequest) -> web.Response:
        status = self._subject.status()
        return document(
            {"release": status.release, "workers": {str(each.index): each.release for each in status.workers}}
        )

    async def _status(self, _: web.BaseRequest) -> web.Response:
        return document(status_document(self._subject))

    async def _config(self, _: web.BaseRequest) -> web.Response:
        return document({"config": self._subject.status().config})

    async def _calls(self, _: web.BaseRequest) -> web.Response:
        """The youngest of each worker's."""
        crew = self._subject.crew
        answers = await crew.ask(crew.processes, Order.CALLS, lambda _: {}, CALLS_PATIENCE_S)
        calls: list[Any] = []
        left_out = 0
        for process, (word, body) in answers.items():
            if word is Word.CALLS:
                calls += [{"worker": process.index, "slot": process.slot, **call} for call in body["calls"]]
                left_out += body["left_out"]
        return document({"calls": calls, "left_out": left_out})


def status_document(subject: Subject) -> dict[str, Any]:
    """/status: the transceiver at one moment."""
    crew = subject.crew
    return {
        "transceiver": subject.status().build(),
        "now_s": round(time.time(), 3),
        "workers": [member.report() for member in crew.members],
        "totals": {"flows": crew.calls, **crew.totals},
    }


def dead_because(subject: Subject) -> list[str]:
    """Why the transceiver should be started anew; nothing while it lives."""
    workers = subject.status().workers
    if workers and all(each.state is WorkerState.WAITING for each in workers):
        return ["every worker died too often and waits to be started again"]
    return []


def unready_because(subject: Subject) -> list[str]:
    """Why no new clients should be sent here; nothing while they are welcome."""
    status = subject.status()
    reasons = []
    if status.state is not ServiceState.SERVING:
        reasons.append(f"the transceiver is {status.state.value}")
    now_s = asyncio.get_running_loop().time()
    serving = [process for process in subject.crew.processes if process.stage is Stage.SERVING]
    if not any(now_s - process.heard_s <= SILENT_AFTER_S for process in serving):
        reasons.append("no worker serves")
    if not any(key.is_minting for key in status.keys):
        reasons.append("no key mints")
    return reasons
