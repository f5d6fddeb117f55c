"""`fastrelay drain`: let the calls of a relay or a transceiver end, take no new ones, and see it off.

Lives here: the options, the order of look and signal, what is printed. Must not live here: finding the process
(fastrelay.observe.running), what draining is (relay, transceiver).
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import click

from fastrelay.cli.keys import as_json
from fastrelay.cli.place import at_option, local_place
from fastrelay.errors import PeerError
from fastrelay.observe.answers import Snapshot
from fastrelay.observe.client import AdminClient
from fastrelay.observe.following import Following, look
from fastrelay.observe.running import RunningSupervisor, one_at_a_time, running_supervisor
from fastrelay.observe.screen import age, counted
from fastrelay.observe.status import ServiceState

FAILED = 1
TAKEN_WITHIN_S = 5.0
"""A supervisor acts on a signal between two waits of its loop; longer means that it hangs."""
PROGRESS_EVERY_S = 1.0
QUIET_PROGRESS_EVERY_S = 10.0
"""Of a script's log, as long as no call ends."""
_LEAVING = (ServiceState.DRAINING, ServiceState.STOPPING)


@click.command()
@at_option
@click.option("--wait", is_flag=True, help="Stay until it has ended, and show how many calls are left.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Wait no longer than this; it drains on. It has a deadline of its own, its --drain-timeout.",
)
@click.option("--stop-now", is_flag=True, help="End it at once, with its calls, also when it drains already.")
@as_json
@click.pass_context
def drain(
    context: click.Context, *, at: str, wait: bool, timeout_s: float | None, stop_now: bool, as_json: bool
) -> None:
    """Take a relay or a transceiver out of service: no new calls, and its end when the last one is over.

    One that drains already is left alone, so the command can be given again to see how far it is.

    \b
    Examples:
      fastrelay drain
      fastrelay drain --wait --timeout 600
      fastrelay drain --at /run/fastrelay-transceiver --wait
      fastrelay drain --stop-now --wait

    The exit code is 0 when it drains, or with --wait has ended; 1 when it did not in time, or nothing runs
    there; 2 when --at is not a run directory.
    """
    run_dir, client = local_place(at, "drain")
    with running_supervisor(run_dir) as supervisor:
        say = _Speaker(as_json=as_json)
        if stop_now:
            supervisor.send(signal.SIGINT)
            say("told to stop now", pid=supervisor.pid, state=ServiceState.STOPPING.value)
        else:
            _begin(run_dir, client, supervisor, say)
        if not wait:
            return
        following = Following(client, supervisor, timeout_s=timeout_s)
        _watch(following, say)
        if not following.has_ended:
            say.problem(f"still running after {following.seconds:.1f} s; it drains on", following.last)
            context.exit(FAILED)
        if orphans := following.orphans():
            raise PeerError(f"the supervisor has died; its workers go on: {' '.join(map(str, orphans))}")
        say(
            f"the {following.tier} has ended after {following.seconds:.1f} s",
            state="ended",
            seconds=round(following.seconds, 3),
        )


def _begin(run_dir: Path, client: AdminClient, supervisor: RunningSupervisor, say: _Speaker) -> None:
    """Signal it once. A second TERM would stop it at once, so a look comes first, and nobody else's signal between."""
    with one_at_a_time(run_dir):
        snapshot = look(client)
        if snapshot.service.state in _LEAVING:
            say.progress(f"already {snapshot.service.state.value}", snapshot)
            return
        supervisor.send(signal.SIGTERM)
        following = Following(client, supervisor, timeout_s=TAKEN_WITHIN_S)
        for snapshot in following.looks():
            if snapshot.service.state in _LEAVING:
                say.progress(snapshot.service.state.value, snapshot)
                return
        if not following.has_ended:
            raise PeerError(
                f"the {snapshot.tier} (pid {supervisor.pid}) has not begun to drain in {TAKEN_WITHIN_S:g} s"
            )
        say(f"the {snapshot.tier} had no calls and has ended", pid=supervisor.pid, state="ended")


def _watch(following: Following, say: _Speaker) -> None:
    calls, said_s = -1, 0.0
    quiet_s = PROGRESS_EVERY_S if sys.stdout.isatty() else QUIET_PROGRESS_EVERY_S
    for snapshot in following.looks(PROGRESS_EVERY_S):
        if snapshot.totals.flows != calls or time.monotonic() - said_s >= quiet_s:
            calls, said_s = snapshot.totals.flows, time.monotonic()
            say.progress("", snapshot)


class _Speaker:
    """Lines for people, or a JSON object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def __call__(self, text: str, **facts: object) -> None:
        click.echo(json.dumps(facts) if self._as_json else text)
        sys.stdout.flush()

    def progress(self, beginning: str, snapshot: Snapshot) -> None:
        self(f"{beginning}: {_left(snapshot)}" if beginning else _left(snapshot), **_facts(snapshot))

    def problem(self, text: str, snapshot: Snapshot | None) -> None:
        if self._as_json and snapshot is not None:
            self("", **_facts(snapshot))
        click.echo(f"fastrelay: {text}", err=True)


def _left(snapshot: Snapshot) -> str:
    totals, relay = snapshot.totals, snapshot.service
    parts = [f"{counted(totals.calls, 'call')} left"]
    if not totals.calls and totals.flows:
        parts = [f"{counted(totals.flows, 'flow')} left without a call"]
    if totals.last_packet_age_s is not None:
        parts.append(f"last activity {age(totals.last_packet_age_s)} ago")
    if relay.drain_deadline_s is not None:
        parts.append(f"deadline in {max(relay.drain_deadline_s - snapshot.now_s, 0):,.0f} s")
    return ", ".join(parts)


def _facts(snapshot: Snapshot) -> dict[str, object]:
    relay, totals = snapshot.service, snapshot.totals
    deadline_s = relay.drain_deadline_s
    return {
        "pid": relay.pid,
        "state": relay.state.value,
        "calls_left": totals.calls,
        "flows_left": totals.flows,
        "last_packet_age_s": totals.last_packet_age_s,
        "deadline_in_s": None if deadline_s is None else round(max(deadline_s - snapshot.now_s, 0), 1),
    }
