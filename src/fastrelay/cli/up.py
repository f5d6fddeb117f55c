"""`fastrelay up`: a relay, a trunk echo and callers on this machine, with a live view of what passes.

Lives here: starting and ending them together, and what is shown. Must not live here: callers and echo
(fastrelay.cli.demo), the relay (fastrelay.relay.supervisor).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, closing

import click

from fastrelay.cli.demo.child import Child, Report
from fastrelay.errors import PeerError
from fastrelay.observe.logs import configure
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.settings import RelaySettings, parse_network
from fastrelay.relay.supervisor import Supervisor
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import mint_token
from fastrelay.wire.address import parse_endpoint

REFUSED = 1
CALLS_MAX = 10_000  # each is a socket of one process
HOST = "127.0.0.1"


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
    back. What you see are the relay's own counters and the callers' round trips. The keys live in memory and end
    with it.

    \b
    Examples:
      fastrelay up
      fastrelay up --calls 200 --seconds 10

    On a terminal the view refreshes in place; anywhere else a few plain lines a second are printed. The exit code is 0
    when packets came back, 1 when none did.
    """
    configure("console")
    ring = KeyRing.new(now_s=int(time.time()))
    with ExitStack() as stack:
        # the children first: what is started later would inherit the supervisor's blocked signals
        echo = stack.enter_context(Child("fastrelay.cli.demo.echo"))
        callers = stack.enter_context(Child("fastrelay.cli.demo.callers"))
        echo.start({"ring": ring.build(), "ip": HOST, "allowed": HOST})
        ip, port = echo.wait_for_report()["address"]
        minted = [mint_token(ring, to=(ip, port), now_s=time.time()) for _ in range(calls)]
        settings = RelaySettings(
            listen=((HOST, 0),),
            trunk=(HOST, 0),
            allowed=(parse_network(HOST),),
            load_keys=lambda: ring,
            # all callers are one source address here, and are let in at once
            limits=Limits(flows=max(4096, 4 * calls), source_admissions_burst=max(400, 4 * calls)),
        )
        with Supervisor(settings) as supervisor:
            relay = parse_endpoint(supervisor.listening[0])
            callers.start(
                {
                    "relay": list(relay),
                    "tickets": [[each.ufrag, each.password] for each in minted],
                }
            )
            _watch(supervisor, callers, echo, seconds)
    for line in _outcome(callers.report, echo.report):
        click.echo(line)
    if not callers.report.get("echoed"):
        context.exit(REFUSED)


def _watch(supervisor: Supervisor, callers: Child, echo: Child, seconds: float | None) -> None:
    # after the fork: numpy's library may start threads when it is loaded
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fastrelay.observe.counters import CounterPage, total  # noqa: PLC0415
    from fastrelay.observe.live import LiveView  # noqa: PLC0415
    from fastrelay.observe.summary import summary  # noqa: PLC0415

    addresses = f"clients {' '.join(supervisor.listening)} trunk {' '.join(supervisor.trunks)}"
    started_s = time.monotonic()
    with ExitStack() as stack:
        pages = [stack.enter_context(closing(CounterPage(each))) for each in supervisor.counter_pages]
        view = LiveView(pages, title=f"fastrelay up · {addresses}", notes=lambda: [_now(callers.report)])

        def tick() -> None:
            are_running = [child.refresh() for child in (callers, echo)]
            if not all(are_running):
                raise PeerError("a process of the demonstration has ended by itself")
            view.refresh()
            if seconds is not None and time.monotonic() - started_s >= seconds:
                # in this order, so that nothing is in flight, and the echo's CLOSE finds the relay
                callers.stop()
                echo.stop()
                os.kill(os.getpid(), signal.SIGTERM)

        click.echo(f"ready: {addresses}")
        try:
            with view:
                supervisor.serve(tick, tick_s=1.0 if seconds is None else min(1.0, seconds))
        finally:
            reading = total([page.read() for page in pages])
            click.echo("\n".join(summary(reading, time.monotonic() - started_s, len(pages))))


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
