"""What befell flows: the journals of all workers in one order, however much was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastrelay.observe.counters import JOURNAL_ENTRIES, JOURNAL_KINDS, LAYOUT
from fastrelay.observe.history import events
from fastrelay.observe.observed import Observed
from fastrelay.wire.trunk import Client, Frame
from tests.dataplane.packets import ALICE, BOB, CAROL, DAVE
from tests.unit.observed_relay import PretendWorker


@pytest.fixture
def workers() -> Iterator[list[PretendWorker]]:
    workers = [PretendWorker(), PretendWorker()]
    for worker in workers:
        worker.start()
    yield workers
    for worker in workers:
        worker.close()


@pytest.fixture
def observed(workers: list[PretendWorker]) -> Iterator[Observed]:
    observed = Observed()
    for index, worker in enumerate(workers):
        observed.worker(index).replace_pages(worker.pages())
    yield observed
    observed.close()


def told(found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(event["worker"], event["kind"]) for event in found]


def test_nothing_has_befallen_nobody(observed: Observed) -> None:
    assert events(observed, limit=100, session=None) == []


def test_latest_event_of_any_worker_comes_first(observed: Observed, workers: list[PretendWorker]) -> None:
    workers[0].call(ALICE, session=1)
    workers[1].call(BOB, session=2)
    workers[0].down(Frame(ALICE, b"", closes=True))
    found = events(observed, limit=100, session=None)
    moments = [event["unix_ms"] for event in found]
    assert moments == sorted(moments, reverse=True)
    assert sorted(told(found)) == [(0, "closed"), (0, "confirmed"), (0, "created"), (1, "confirmed"), (1, "created")]
    assert [event["kind"] for event in found if event["worker"] == 0] == ["closed", "confirmed", "created"]


def test_session_is_found_at_every_worker(observed: Observed, workers: list[PretendWorker]) -> None:
    workers[0].call(ALICE, session=1)
    workers[1].call(BOB, session=1)
    workers[1].call(CAROL, session=2)
    found = events(observed, limit=100, session="0000000000000001")
    assert sorted(told(found)) == [(0, "confirmed"), (0, "created"), (1, "confirmed"), (1, "created")]
    assert {event["session"] for event in found} == {"0000000000000001"}


@pytest.mark.parametrize(
    ("client", "shown"),
    [(ALICE, "192.0.2.0/24"), (CAROL, "2001:db8::/48"), (DAVE, "fe80::/48")],
    ids=["IPv4", "IPv6", "link-local"],
)
def test_client_is_shown_as_its_network(
    observed: Observed, workers: list[PretendWorker], client: Client, shown: str
) -> None:
    workers[0].call(client)
    assert {event["client"] for event in events(observed, limit=100, session=None)} == {shown}


def test_full_journal_keeps_the_latest(observed: Observed, workers: list[PretendWorker]) -> None:
    for number in range(JOURNAL_ENTRIES):
        client, at_ms = Client("192.0.2.1", 1000 + number), 1_000_000 + 10 * number  # slow enough for its budget
        workers[0].call(client, session=number + 1, at_ms=at_ms)
        workers[0].down(Frame(client, b"", closes=True), at_ms=at_ms)
    found = events(observed, limit=JOURNAL_ENTRIES, session=None)
    # the oldest place may be under the worker's pen
    assert len(found) == JOURNAL_ENTRIES - 1
    assert [event["kind"] for event in found[:3]] == ["closed", "confirmed", "created"]
    assert int(found[0]["session"], 16) == JOURNAL_ENTRIES
    assert len(events(observed, limit=7, session=None)) == 7
    assert events(observed, limit=7, session="0000000000000001") == []


def test_entry_of_another_release_is_passed_over(observed: Observed, workers: list[PretendWorker]) -> None:
    workers[0].call(ALICE)
    fields = LAYOUT.fields
    assert fields is not None
    at = fields["journal"][1] + 64  # kind, behind time, session and two addresses
    workers[0].counter_memory[at] = len(JOURNAL_KINDS)
    assert told(events(observed, limit=10, session=None)) == [(0, "confirmed")]


def test_worker_that_is_gone_takes_its_journal_along(observed: Observed, workers: list[PretendWorker]) -> None:
    workers[0].call(ALICE)
    observed.worker(0).replace_pages(None)
    assert events(observed, limit=10, session=None) == []
