"""`fastrelay upgrade` and `fastrelay reload`: a signal to a running relay or transceiver, and what became of it.

Lives here: the options, the order of look and signal, what is printed. Must not live here: finding the process
(fastrelay.observe.running), what an upgrade or a reload does (relay, transceiver).
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass

import click

from fastrelay.cli.keys import as_json
from fastrelay.cli.place import at_option, local_place
from fastrelay.errors import PeerError
from fastrelay.observe.following import Following, look
from fastrelay.observe.running import one_at_a_time, running_supervisor
from fastrelay.observe.status import ServiceStatus, WorkerState

FAILED = 1
UPGRADED_WITHIN_S = 60.0
RELOADED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a signal asks for, and where the relay counts what became of it."""

    name: str
    number: signal.Signals
    done: str
    refused: str
    replaces_workers: bool = False

    def count(self, relay: ServiceStatus) -> tuple[int, int]:
        return getattr(relay, self.done), getattr(relay, self.refused)


UPGRADE = Order("upgrade", signal.SIGUSR2, "upgrades", "upgrades_refused", replaces_workers=True)
RELOAD = Order("reload", signal.SIGHUP, "reloads", "reloads_refused")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of an order, as far as it is known."""

    before: ServiceStatus
    after: ServiceStatus
    seconds: float
    replaced: int
    """Workers that are another process than before, and serve."""
    is_refused: bool

    def facts(self) -> dict[str, object]:
        return {
            "is_refused": self.is_refused,
            "problem": self.after.last_problem if self.is_refused else None,
            "from": self.before.release,
            "to": self.after.release,
            "seconds": round(self.seconds, 3),
            "workers_replaced": self.replaced,
            "workers": len(self.after.workers),
        }


wait_option = click.option(
    "--wait/--no-wait", "wait", default=True, show_default=True, help="Stay until it is done or refused."
)


def timeout_option(default_s: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What each operation is given by default differs."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=default_s,
        show_default=True,
        metavar="SECONDS",
        help="Wait no longer than this for the outcome.",
    )


@click.command()
@at_option
@wait_option
@timeout_option(UPGRADED_WITHIN_S)
@as_json
@click.pass_context
def upgrade(context: click.Context, *, at: str, wait: bool, timeout_s: float, as_json: bool) -> None:
    """Let a running relay or transceiver become the release that is installed now, without losing a call.

    The new release is tried first. One that does not start is refused, and the old one serves on. Of a transceiver the
    workers are replaced, and calls stay with the old ones until they end.

    \b
    Examples:
      fastrelay upgrade
      pip install --upgrade fastrelay && fastrelay upgrade
      fastrelay upgrade --at /run/fastrelay-2 --json | jq -r .to

    The exit code is 0 when the workers are the new release, 1 when it was refused, was not done in time, or nothing
    runs there; 2 when --at is not a run directory.
    """
    _give(context, UPGRADE, at, wait=wait, timeout_s=timeout_s, as_json=as_json)


@click.command()
@at_option
@wait_option
@timeout_option(RELOADED_WITHIN_S)
@as_json
@click.pass_context
def reload(context: click.Context, *, at: str, wait: bool, timeout_s: float, as_json: bool) -> None:
    """Let a running relay or transceiver read its configuration and its keys again: all of it is taken, or nothing.

    \b
    Examples:
      fastrelay reload
      fastrelay check relay.toml && fastrelay reload
      fastrelay keys rotate keys.json && fastrelay reload --at /run/fastrelay-2

    The exit code is 0 when it was taken, 1 when it was refused, was not done in time, or nothing runs there;
    2 when --at is not a run directory.
    """
    _give(context, RELOAD, at, wait=wait, timeout_s=timeout_s, as_json=as_json)


def _give(context: click.Context, order: Order, at: str, *, wait: bool, timeout_s: float, as_json: bool) -> None:
    run_dir, client = local_place(at, order.name)
    with running_supervisor(run_dir) as supervisor:
        with one_at_a_time(run_dir):
            before = look(client).service
            following = Following(client, supervisor, timeout_s=timeout_s)
            supervisor.send(order.number)
        if not wait:
            return
        outcome = _follow(order, before, following)
    if as_json:
        click.echo(json.dumps(outcome.facts()))
    if outcome.is_refused:
        click.echo(
            f"fastrelay: {order.name} refused, {before.release} serves on: {outcome.after.last_problem}", err=True
        )
        context.exit(FAILED)
    if not as_json:
        click.echo(_told(order, outcome))
    if order.replaces_workers and outcome.replaced < len(outcome.after.workers):
        context.exit(FAILED)


def _follow(order: Order, before: ServiceStatus, following: Following) -> Outcome:
    """Until it is done or refused. PeerError when it ends, or says neither in time."""
    done, refused = order.count(before)
    outcome: Outcome | None = None
    for snapshot in following.looks():
        after = snapshot.service
        now_done, now_refused = order.count(after)
        if now_refused > refused:
            return Outcome(before, after, following.seconds, 0, is_refused=True)
        if now_done > done:
            outcome = Outcome(before, after, following.seconds, _replaced(before, after), is_refused=False)
            if not order.replaces_workers or outcome.replaced == len(after.workers):
                return outcome
    if following.has_ended:
        raise PeerError(f"the {following.tier} has ended instead of the {order.name}")
    if outcome is None:
        silence = f"; {following.silence}" if following.silence else ""
        raise PeerError(f"no outcome of the {order.name} within {following.seconds:.0f} s{silence}")
    return outcome


def _replaced(before: ServiceStatus, after: ServiceStatus) -> int:
    known = {each.pid for each in before.workers}
    at_work = (WorkerState.SERVING, WorkerState.RETIRING)
    return sum(each.pid not in known and each.state in at_work for each in after.workers)


def _told(order: Order, outcome: Outcome) -> str:
    if not order.replaces_workers:
        return f"reloaded in {outcome.seconds:.1f} s"
    before, after = outcome.before.release, outcome.after.release
    change = f"from {before} to {after}" if before != after else f"{after} in place"
    workers = f"workers replaced {outcome.replaced}/{len(outcome.after.workers)}"
    return f"upgraded {change} in {outcome.seconds:.1f} s, {workers}"
