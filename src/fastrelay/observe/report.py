"""The status of a relay or a transceiver on one screen: what it does, its processes, its keys, what went wrong last.

Lives here: which facts, in which words. Must not live here: asking for them (client), what moves (top), exit codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from rich.text import Text

from fastrelay.observe.answers import Snapshot, Totals, Worker
from fastrelay.observe.screen import Column, Row, Table, age, counted, rate, running
from fastrelay.observe.status import KeyStatus, ServiceState, ServiceStatus, WorkerState, WorkerStatus

_TITLE_WIDTH = 10
_TITLE_STYLE = "dim"


def report(snapshot: Snapshot, reasons: Sequence[str], width: int) -> list[Text]:
    """Facts, then a table of the workers. `reasons` say why it is not ready; none when it is."""
    lines = []
    for title, fact, style in _facts(snapshot, reasons):
        lines.append(Text.assemble((title.ljust(_TITLE_WIDTH), _TITLE_STYLE), (fact, style)))
    at_work = {each.index: each for each in snapshot.workers}
    rows = tuple(_worker(each, at_work, snapshot.now_s) for each in snapshot.service.workers)
    if rows:
        columns = _COLUMNS if snapshot.tier == "relay" else _TRANSCEIVER_COLUMNS
        lines += [Text(""), *Table(columns, rows).lines(width)]
    return lines


def _facts(snapshot: Snapshot, reasons: Sequence[str]) -> list[tuple[str, str, str]]:
    relay, totals, now_s = snapshot.service, snapshot.totals, snapshot.now_s
    is_well = relay.state is ServiceState.SERVING and not reasons
    facts = [
        ("state", _state(relay, reasons, now_s), "bold" if is_well else "bold yellow"),
        ("release", f"{relay.release}, pid {relay.pid}, up {running(now_s - relay.started_at_s)}", ""),
        ("listen", " ".join(relay.listen) or "-", ""),
        *(_traffic(totals) if snapshot.tier == "relay" else _calls(totals)),
        ("keys", "; ".join(_key(each, now_s) for each in relay.keys) or "none", "" if relay.keys else "red"),
        ("changes", _changes(relay), ""),
    ]
    if snapshot.tier == "relay":
        facts.append(("steering", relay.steering, ""))
    if relay.last_problem:
        facts.append(("problem", relay.last_problem, "yellow"))
    return facts


def _traffic(totals: Totals) -> list[tuple[str, str, str]]:
    calls = f"{totals.calls:,}, of which {totals.one_way:,} one-way; {counted(totals.flows, 'flow')}"
    return [("calls", calls, ""), ("packets", _packets(totals), "")]


def _calls(totals: Totals) -> list[tuple[str, str, str]]:
    leaving = f", of which {totals.leaving:,} with workers that have been replaced" if totals.leaving else ""
    return [("calls", f"{totals.calls:,}{leaving}", "")]


def _packets(totals: Totals) -> str:
    last = "" if totals.last_packet_age_s is None else f", last one {age(totals.last_packet_age_s)} ago"
    return f"up {rate(totals.up_pps)}/s, down {rate(totals.down_pps)}/s, dropped {rate(totals.drops_pps)}/s{last}"


def _state(relay: ServiceStatus, reasons: Sequence[str], now_s: float) -> str:
    if relay.state is ServiceState.DRAINING:
        since = "" if relay.draining_since_s is None else f" for {age(now_s - relay.draining_since_s)}"
        left = "" if relay.drain_deadline_s is None else f", deadline in {age(relay.drain_deadline_s - now_s)}"
        return f"draining{since}{left}"
    return f"{relay.state.value}, not ready: {'; '.join(reasons)}" if reasons else f"{relay.state.value}, ready"


def _key(key: KeyStatus, now_s: float) -> str:
    if key.open_until_s is not None and key.open_until_s <= now_s:
        return f"{key.id} has ended"
    until = "" if key.open_until_s is None else f" until {_moment(key.open_until_s)}"
    if key.is_minting:
        return f"{key.id} mints for {age(now_s - key.mint_from_s)}" + (until and f", opens{until}")
    if key.mint_from_s > now_s:
        return f"{key.id} mints from {_moment(key.mint_from_s)}"
    return f"{key.id} opens{until}"


def _changes(relay: ServiceStatus) -> str:
    kinds = (
        ("reload", relay.reloads, relay.reloads_refused),
        ("upgrade", relay.upgrades, relay.upgrades_refused),
        ("adoption", relay.adoptions, 0),
    )
    return ", ".join(
        counted(done, name) + (f" ({refused} refused)" if refused else "") for name, done, refused in kinds
    )


_COLUMNS = (
    Column("worker"),
    Column("state", is_text=True),
    Column("pid"),
    Column("cpu", rank=3),
    Column("up", rank=2),
    Column("flows"),
    Column("restarts", rank=1),
    Column("hangs", rank=1),
    Column("trunk", rank=4, is_text=True),
    Column("release", rank=5, is_text=True),
    Column("last end", rank=6, is_text=True),
)


_TRANSCEIVER_COLUMNS = tuple(
    replace(column, title="calls") if column.title == "flows" else column for column in _COLUMNS
)


def _worker(worker: WorkerStatus, at_work: Mapping[int, Worker], now_s: float) -> Row:
    flows = at_work[worker.index].flows if worker.index in at_work else None
    cells = (
        str(worker.index),
        worker.state.value,
        str(worker.pid) if worker.pid else "-",
        str(worker.cpu),
        running(now_s - worker.started_at_s) if worker.pid else "-",
        "-" if flows is None else f"{flows:,}",
        f"{worker.restarts:,}",
        f"{worker.hangs:,}",
        worker.trunk,
        worker.release,
        worker.last_end or "",
    )
    return Row(cells, "" if worker.state is WorkerState.SERVING else "yellow")


def _moment(moment_s: int) -> str:
    try:
        return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError):  # beyond the year 9999
        return f"{moment_s} s"
