"""Which question gets which answer.

Lives here: paths, status codes, content types. Must not live here: connections (server), the documents (documents),
what a relay is like (observe).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry

from fastrelay.observe.admin.documents import config_document, status_document, version_document
from fastrelay.observe.admin.query import EventsQuery, FlowsQuery, FlowState, QueryError, Sort, format_cursor
from fastrelay.observe.admin.replies import Answer, answered, document, health, metrics, problem
from fastrelay.observe.health import dead_because, unready_because
from fastrelay.observe.history import events
from fastrelay.observe.listing import STATES, Condition, Listing, worst
from fastrelay.observe.metrics import RelayCollector
from fastrelay.observe.observed import Observed


class Routes:
    """Answers one request after another. `observed` stays the caller's."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(RelayCollector(observed))
        self._answers: Mapping[str, Answer] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/version": self._version,
            "/status": self._status,
            "/flows": self._flows,
            "/events": self._events,
            "/debug/config": self._config,
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Whatever was asked, an answer."""
        try:
            return await answered(self._answers, request)
        except QueryError as error:
            return problem(400, str(error), parameter=error.parameter)

    async def _livez(self, _: web.BaseRequest) -> web.Response:
        return health(dead_because(self._observed, time.monotonic()), "alive")

    async def _readyz(self, _: web.BaseRequest) -> web.Response:
        return health(unready_because(self._observed, time.monotonic()), "ready")

    async def _metrics(self, _: web.BaseRequest) -> web.Response:
        return metrics(self._registry)

    async def _version(self, _: web.BaseRequest) -> web.Response:
        return document(version_document(self._observed))

    async def _status(self, _: web.BaseRequest) -> web.Response:
        return document(status_document(self._observed))

    async def _config(self, _: web.BaseRequest) -> web.Response:
        return document(config_document(self._observed))

    async def _flows(self, request: web.BaseRequest) -> web.Response:
        query = FlowsQuery.parse(_parameters(request))
        condition = Condition(
            session=query.session,
            transceiver=query.transceiver,
            state=None if query.state is None else STATES.get(query.state),
            is_one_way=query.state == FlowState.ONE_WAY,
        )
        now_ms = time.monotonic_ns() // 1_000_000
        if query.sort == Sort.WORST:
            rows = worst(self._observed, condition, limit=query.limit, worker=query.worker, now_ms=now_ms)
            return document({"flows": rows, "next": None})
        listing = Listing(self._observed, condition, limit=query.limit, after=query.after, worker=query.worker)
        await in_turns(listing.run(now_ms))
        following = None if listing.next is None else format_cursor(*listing.next)
        return document({"flows": listing.rows, "next": following})

    async def _events(self, request: web.BaseRequest) -> web.Response:
        query = EventsQuery.parse(_parameters(request))
        return document({"events": events(self._observed, limit=query.limit, session=query.session)})


async def in_turns(work: Iterator[None]) -> None:
    """Do work in pieces, and let others have their turn in between."""
    for _ in work:
        await asyncio.sleep(0)


def _parameters(request: web.BaseRequest) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query.items():
        if name in found:
            raise QueryError(name[:64], "is given twice")
        found[name] = value
    return found
