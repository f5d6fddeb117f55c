"""What `fastrelay top` shows of a relay: a screen for a terminal of any size, or one plain line.

Lives here: which numbers stand where, and which call is the worst. Must not live here: asking the relay (client),
the terminal and its keys (cli.top), how a table is fitted (screen).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text

from fastrelay.observe.answers import Drop, Flow, Snapshot, Transceiver, Worker
from fastrelay.observe.screen import Column, Row, Table, age, counted, number, percent, rate, running, stacked
from fastrelay.observe.status import ServiceState

STALLED_AFTER_S = 2.0
"""As /livez has it: a worker turns its loop every 50 ms even when idle."""
BUSY_RATIO = 0.9
BAD_LOSS_PERCENT = 5.0

SORTS: dict[str, Callable[[Flow], float]] = {
    "worst": lambda flow: 0.0,  # the relay's own order
    "loss": lambda flow: -(flow.loss_percent or 0.0),
    "jitter": lambda flow: -(flow.jitter_ms or 0.0),
    "setup": lambda flow: -(flow.setup_ms or 0.0),
    "silence": lambda flow: -(flow.age_of_last_packet_s or 0.0),
}


@dataclass(frozen=True, slots=True)
class View:
    """What the operator has chosen, and what is wrong with the relay's answers."""

    place: str = ""
    sort: str = "worst"
    is_paused: bool = False
    problem: str | None = None
    has_keys: bool = False
    """Whether a key would be heard; else none is named."""


def screen(snapshot: Snapshot | None, view: View, width: int, height: int | None = None) -> list[Text]:
    """Lines of at most `width` characters, and at most `height` of them where one is given."""
    head = [_title(snapshot, view)]
    if view.problem is not None:
        head.append(Text(f"{view.problem} (trying again)", style="bold red"))
    if snapshot is not None:
        head.append(_totals(snapshot))
        if snapshot.service.last_problem:
            head.append(Text(f"last problem: {snapshot.service.last_problem}", style="yellow"))
    foot = [Text(""), _keys(view)] if view.has_keys else []
    body_height = None if height is None else max(height - len(head) - len(foot), 0)
    body = [] if snapshot is None else stacked(tables(snapshot, view.sort), width, body_height)
    lines = [*head, *body, *foot][:height]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines


def tables(snapshot: Snapshot, sort: str = "worst") -> list[Table]:
    """In the order in which they are kept on a low terminal."""
    return [
        _workers(snapshot),
        _transceivers(snapshot.transceivers),
        _calls(snapshot.worst_calls, sort),
        _drops(snapshot.drops),
    ]


def line(snapshot: Snapshot) -> str:
    """One refresh where there is no terminal."""
    totals = snapshot.totals
    busiest = max((each.busy_ratio or 0.0 for each in snapshot.workers), default=None)
    return (
        f"{snapshot.service.state.value}  calls {totals.calls:,}  flows {totals.flows:,}  up {rate(totals.up_pps)}/s"
        f"  down {rate(totals.down_pps)}/s  dropped {rate(totals.drops_pps)}/s"
        f"  kernel drops {sum(each.kernel_drops for each in snapshot.workers):,}  one-way {totals.one_way:,}"
        f"  workers {len(snapshot.workers)}  busiest {percent(busiest)}"
    )


def _title(snapshot: Snapshot | None, view: View) -> Text:
    if snapshot is None:
        return Text(f"fastrelay · {view.place}", style="bold")
    relay = snapshot.service
    title = Text(f"fastrelay {relay.release} · ", style="bold")
    title.append(relay.state.value, style="bold" if relay.state is ServiceState.SERVING else "bold yellow")
    title.append(f" · up {running(snapshot.now_s - relay.started_at_s)} · {' '.join(relay.listen)}")
    if relay.drain_deadline_s is not None:
        title.append(f" · drains for another {age(relay.drain_deadline_s - snapshot.now_s)}", style="yellow")
    if view.is_paused:
        title.append(" · paused", style="yellow")
    return title


def _totals(snapshot: Snapshot) -> Text:
    totals = snapshot.totals
    text = Text(f"{counted(totals.calls, 'call')}, {counted(totals.flows, 'flow')}")
    text.append(f" · {totals.one_way:,} one-way", style="yellow" if totals.one_way else "")
    text.append(f" · up {rate(totals.up_pps)}/s · down {rate(totals.down_pps)}/s · dropped {rate(totals.drops_pps)}/s")
    if totals.last_packet_age_s is not None:
        text.append(f" · last packet {age(totals.last_packet_age_s)} ago")
    return text


def _keys(view: View) -> Text:
    return Text(f"q quit   s sort calls: {view.sort}   p {'go on' if view.is_paused else 'pause'}", style="dim")


_WORKER_COLUMNS = (
    Column("worker"),
    Column("state", is_text=True),
    Column("cpu", rank=8),
    Column("up/s"),
    Column("down/s"),
    Column("flows"),
    Column("full", rank=7),
    Column("busy", rank=1),
    Column("drops/s", rank=1),
    Column("kernel drops", rank=2),
    Column("up p50", rank=4),
    Column("p99", rank=3),
    Column("down p50", rank=4),
    Column("p99", rank=3),
    Column("bundle", rank=6),
    Column("batch", rank=9),
    Column("offload", rank=5, is_text=True),
)


def _workers(snapshot: Snapshot) -> Table:
    return Table(_WORKER_COLUMNS, tuple(map(_worker, snapshot.workers)), more="more workers")


def _worker(worker: Worker) -> Row:
    is_stalled = worker.alive_age_s is not None and worker.alive_age_s > STALLED_AFTER_S
    is_busy = worker.busy_ratio is not None and worker.busy_ratio >= BUSY_RATIO
    cells = (
        str(worker.index),
        f"stalled {age(worker.alive_age_s)}" if is_stalled else worker.state,
        str(worker.cpu),
        rate(worker.up_pps),
        rate(worker.down_pps),
        f"{worker.flows:,}",
        percent(worker.flows / worker.capacity if worker.capacity else None),
        percent(worker.busy_ratio),
        rate(worker.drops_pps),
        f"{worker.kernel_drops:,}",
        _hop(worker.hop_up_p50_us),
        _hop(worker.hop_up_p99_us),
        _hop(worker.hop_down_p50_us),
        _hop(worker.hop_down_p99_us),
        number(worker.bundle_fill),
        number(worker.batch_fill),
        worker.offload,
    )
    is_serving = worker.state in {"serving", "retiring"}
    return Row(cells, "red" if is_stalled or not is_serving else "yellow" if is_busy else "")


_TRANSCEIVER_COLUMNS = (
    Column("transceiver", is_text=True),
    Column("flows"),
    Column("rtt", rank=1),
    Column("lost"),
    Column("lost in all", rank=3),
    Column("received", rank=4),
    Column("unreachable", rank=2),
    Column("silent", rank=1),
)


def _transceivers(transceivers: Sequence[Transceiver]) -> Table:
    ordered = sorted(transceivers, key=lambda each: (-each.flows, each.address))
    return Table(_TRANSCEIVER_COLUMNS, tuple(map(_transceiver, ordered)), more="more transceivers")


def _transceiver(transceiver: Transceiver) -> Row:
    cells = (
        transceiver.address,
        f"{transceiver.flows:,}",
        number(transceiver.rtt_ms, " ms", 2),
        percent(transceiver.lost_ratio),
        f"{transceiver.lost:,}",
        f"{transceiver.received:,}",
        f"{transceiver.unreachable:,}",
        age(transceiver.silent_s),
    )
    # A HELLO comes every second; three missing ones are no accident.
    is_silent = transceiver.flows > 0 and (transceiver.silent_s is None or transceiver.silent_s > 3.5)
    return Row(cells, "red" if is_silent else "")


_CALL_COLUMNS = (
    Column("worst calls", is_text=True),
    Column("session", rank=2, is_text=True),
    Column("transceiver", rank=4, is_text=True),
    Column("loss"),
    Column("jitter"),
    Column("reordered", rank=5),
    Column("setup", rank=3),
    Column("up", rank=6),
    Column("down", rank=6),
    Column("last packet", rank=1),
    Column("", rank=1, is_text=True),
)


def _calls(calls: Sequence[Flow], sort: str) -> Table:
    return Table(_CALL_COLUMNS, tuple(map(_call, sorted(calls, key=SORTS[sort]))), more="more calls")


def _call(flow: Flow) -> Row:
    cells = (
        flow.client,
        flow.session,
        flow.transceiver,
        number(flow.loss_percent, " %"),
        number(flow.jitter_ms, " ms"),
        f"{flow.reordered:,}",
        number(flow.setup_ms, " ms", 0),
        f"{flow.packets_up:,}",
        f"{flow.packets_down:,}",
        age(flow.age_of_last_packet_s),
        "one-way" if flow.is_one_way else "",
    )
    is_bad = flow.is_one_way or (flow.loss_percent or 0.0) >= BAD_LOSS_PERCENT
    return Row(cells, "yellow" if is_bad else "")


_DROP_COLUMNS = (Column("dropped because", is_text=True), Column("per s"), Column("in all"))


def _drops(drops: Sequence[Drop]) -> Table:
    ordered = sorted((each for each in drops if each.total), key=lambda each: (-each.per_s, -each.total, each.verdict))
    rows = tuple(Row((each.verdict, rate(each.per_s), f"{each.total:,}")) for each in ordered)
    return Table(_DROP_COLUMNS, rows, more="more reasons")


def _hop(value_us: float | None) -> str:
    return number(value_us, " us", 1 if value_us is not None and value_us < 100 else 0)
