"""`fastrelay up`: a relay, a trunk echo and callers on this machine, with a live view of what passes.

Lives here: starting and ending them together, and what is shown. Must not live here: the three of them
(fastrelay.cli.demo), what is shown of a relay (fastrelay.observe.top).
"""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fastrelay.cli.demo.child import Child, Report
from fastrelay.errors import PeerError
from fastrelay.observe.answers import Snapshot
from fastrelay.observe.client import AdminClient, Place
from fastrelay.observe.top import View, line, screen
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import mint_token
from fastrelay.wire.address import parse_endpoint

REFUSED = 1
CALLS_MAX = 10_000  # each is a socket of one process
HOST = "127.0.0.1"
REFRESH_S = 1.0
LOOK_S = 0.05
ADMIN_PATIENCE_S = 10.0


@click.command()
@click.option(
    "--calls",
    type=click.IntRange(1, CALLS_MAX),
    default=20,
    show_default=True,
    help="Calls to make; each sends 50 packets a second, as a browser does while its user speaks.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="End after this long. Without it: until Ctrl-C.",
)
@click.pass_context
def up(context: click.Context, *, calls: int, seconds: float | None) -> None:
    """Start fastrelay on this machine and drive real packets through it: callers, a relay, and an echo behind it.

    Each caller shows a freshly minted route token and speaks; the echo, where a transceiver will be, sends everything
    back. What you see is the relay's own `fastrelay top`, and the callers' round trips. The relay runs under its
    supervisor with a worker on each CPU; its run directory is named in the first line, so that `fastrelay status --at`,
    `upgrade --at` and the others work on it meanwhile. The keys live in memory and end with it.

    \b
    Examples:
      fastrelay up
      fastrelay up --calls 200 --seconds 10

    On a terminal the view refreshes in place; anywhere else a few plain lines a second are printed. The exit code is 0
    when packets came back, 1 when none did.
    """
    ring = KeyRing.new(now_s=int(time.time()))
    with ExitStack() as stack:
        run_dir = Path(stack.enter_context(TemporaryDirectory(prefix="fastrelay-")))
        echo = stack.enter_context(Child("fastrelay.cli.demo.echo"))
        callers = stack.enter_context(Child("fastrelay.cli.demo.callers"))
        relay = stack.enter_context(Child("fastrelay.cli.demo.relay"))
        echo.start({"ring": ring.build(), "ip": HOST, "allowed": HOST})
        relay.start({"ring": ring.build(), "ip": HOST, "calls": calls, "run_dir": str(run_dir)})
        ip, port = echo.wait_for_report()["address"]
        addresses = relay.wait_for_report()
        minted = [mint_token(ring, to=(ip, port), now_s=time.time()) for _ in range(calls)]
        callers.start(
            {
                "relay": list(parse_endpoint(addresses["clients"][0])),
                "tickets": [[each.ufrag, each.password] for each in minted],
            }
        )
        click.echo(
            f"ready: clients {' '.join(addresses['clients'])} trunk {' '.join(addresses['trunks'])} at {run_dir}"
        )
        with suppress(KeyboardInterrupt):  # the way to end it
            _watch(AdminClient(Place(str(run_dir), run_dir=run_dir)), (relay, callers, echo), seconds)
        # in this order, so that nothing is in flight, and the echo's CLOSE finds the relay
        ended = [child.stop() for child in (callers, echo, relay)]
    called, echoed, relayed = ended
    for text in (*relayed.get("summary", ()), *_outcome(called, echoed)):
        click.echo(text)
    if not called.get("echoed"):
        context.exit(REFUSED)


def _watch(client: AdminClient, children: tuple[Child, Child, Child], seconds: float | None) -> None:
    _, callers, _ = children
    console = Console()
    live = Live(console=console, auto_refresh=False, vertical_overflow="crop") if console.is_terminal else None
    with ExitStack() as stack:
        if live is not None:
            stack.enter_context(live)
        snapshot = _first_answer(client)
        started_s = due_s = time.monotonic()
        while seconds is None or time.monotonic() - started_s < seconds:
            are_running = [child.refresh() for child in children]
            if not all(are_running):
                raise PeerError("a process of the demonstration has ended by itself")
            if time.monotonic() >= due_s:
                due_s += REFRESH_S
                snapshot = Snapshot.parse(client.status())
                _show(console, live, snapshot, _now(callers.report))
            time.sleep(LOOK_S)


def _first_answer(client: AdminClient) -> Snapshot:
    """The relay serves before its admin process does."""
    deadline_s = time.monotonic() + ADMIN_PATIENCE_S
    while True:
        try:
            return Snapshot.parse(client.status())
        except PeerError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(LOOK_S)


def _show(console: Console, live: Live | None, snapshot: Snapshot, note: str) -> None:
    if live is None:
        for text in (line(snapshot), note):
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    else:
        rows = screen(snapshot, View(), console.width, max(console.height - 2, 1))
        live.update(Group(*rows, Text(note, no_wrap=True)), refresh=True)


def _now(report: Report) -> str:
    if not report:
        return "calls   connecting"
    return (
        f"calls   {report['connected']} connected, {report['echoed']:,} packets echoed, {_loss(report)} lost, "
        f"round trip p50 {_time(report['recent_us'][0])} p99 {_time(report['recent_us'][1])}"
    )


def _outcome(calls: Report, echo: Report) -> list[str]:
    lines = []
    if echo:
        lines.append(
            f"echo    {echo['checks_answered']:,} checks answered, {echo['frames_echoed']:,} packets sent back, "
            f"{sum(relay['lost'] for relay in echo['relays'])} lost on the trunk"
        )
    if not calls.get("echoed"):
        return [*lines, "calls   nothing came back"]
    lines.append(
        f"calls   {calls['connected']} connected, {calls['sent']:,} packets sent, {calls['echoed']:,} echoed, "
        f"{_loss(calls)} lost, round trip p50 {_time(calls['all_us'][0])} p99 {_time(calls['all_us'][1])}"
    )
    return lines


def _loss(report: Report) -> str:
    """Of the packets whose fate is known; those still on their way are neither."""
    known = report["echoed"] + report["lost"]
    return f"{report['lost'] / known:.2%}" if known else "-"


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return "-"
    return f"{microseconds:.0f} us" if microseconds < 10_000 else f"{microseconds / 1000:.0f} ms"
