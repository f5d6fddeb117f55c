"""`fastrelay top`: a relay's live numbers, on a terminal, as lines, or as JSON.

Lives here: the options, when to ask again, and what a key does. Must not live here: what is shown
(fastrelay.observe.top), how the relay is asked (fastrelay.observe.client).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import click
from rich.console import Console, Group
from rich.live import Live

from fastrelay.cli.keys import as_json
from fastrelay.cli.place import at_option
from fastrelay.errors import ConfigError, PeerError
from fastrelay.observe.answers import Snapshot
from fastrelay.observe.client import AdminClient, parse_place
from fastrelay.observe.keyboard import Keyboard
from fastrelay.observe.top import SORTS, View, line, screen

SIZE_LOOKED_AT_EVERY_S = 0.2
WIDTH_OFF_TERMINAL = 160
ESCAPE = "\x1b"
"""Begins what an arrow or function key sends; the letters behind it are none that somebody pressed."""


class Refresh(NamedTuple):
    """A /status document and what it says, or what kept it away."""

    document: Mapping[str, Any]
    snapshot: Snapshot | None
    problem: str | None = None


@click.command()
@at_option
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two refreshes.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after this many refreshes.")
@click.option("--once", is_flag=True, help="Print one whole screen and end.")
@click.option(
    "--sort", type=click.Choice(list(SORTS)), default="worst", show_default=True, help="The order of the worst calls."
)
@as_json
def top(*, at: str, every_s: float, count: int | None, once: bool, sort: str, as_json: bool) -> None:
    """Watch a relay: its workers, its transceivers, its worst calls, and what it drops.

    On a terminal the view refreshes in place and follows the terminal's size. Keys: q quits, s sorts the calls another
    way, p pauses. Anywhere else a line is printed each time, or with --json the whole /status document on one line.

    \b
    Examples:
      fastrelay top
      fastrelay top --at http://10.0.0.5:9464
      fastrelay top --json --count 1 | jq .totals.calls

    When a relay that has answered goes away, top says so and keeps asking. The exit code is 0 after q, Ctrl-C or
    --count, 1 when the relay could not be asked to begin with, 2 when --at names no place.
    """
    client = AdminClient(parse_place(at))
    first = _ask(client)  # a mistyped place is said at once, not tried for ever
    if once:
        _print_once(first, sort, as_json=as_json)
    elif as_json or not _has_terminal():
        _print_lines(client, first, every_s, count, as_json=as_json)
    else:
        _show(client, first, every_s, count, View(client.place.text, sort, has_keys=True))


def _has_terminal() -> bool:
    """One that keys come from, and that text can be placed on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _print_once(refresh: Refresh, sort: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(refresh.document))
        return
    console = Console()
    width = console.width if console.is_terminal else WIDTH_OFF_TERMINAL
    for text in screen(refresh.snapshot, View(sort=sort), width):
        console.print(text, soft_wrap=True)


def _print_lines(client: AdminClient, first: Refresh, every_s: float, count: int | None, *, as_json: bool) -> None:
    try:
        for refresh in _refreshes(client, first, every_s, count):
            if as_json:
                click.echo(json.dumps({"problem": refresh.problem} if refresh.problem else refresh.document))
            else:
                click.echo(f"{refresh.problem} (trying again)" if refresh.snapshot is None else line(refresh.snapshot))
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _refreshes(client: AdminClient, first: Refresh, every_s: float, count: int | None) -> Iterator[Refresh]:
    yield first
    due_s = time.monotonic()
    shown = 1
    while count is None or shown < count:
        due_s = max(due_s + every_s, time.monotonic())
        time.sleep(max(due_s - time.monotonic(), 0.0))
        yield _ask_again(client)
        shown += 1


def _ask(client: AdminClient) -> Refresh:
    document = client.status()
    snapshot = Snapshot.parse(document)
    if snapshot.tier != "relay":
        raise PeerError(
            f"{client.place.text}: a {snapshot.tier} answers there, and top shows relays; see fastrelay status"
        )
    return Refresh(document, snapshot)


def _ask_again(client: AdminClient) -> Refresh:
    try:
        return _ask(client)
    except (PeerError, ConfigError) as error:  # a run directory may go with its relay
        return Refresh({}, None, str(error))


def _show(client: AdminClient, first: Refresh, every_s: float, count: int | None, view: View) -> None:
    """Until q, Ctrl-C or the last refresh. Whatever happens, the terminal is put back."""
    console = Console()
    terminal = Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")
    with Keyboard() as keyboard, terminal:
        try:
            _Session(client, console, terminal, view, first.snapshot).run(keyboard, every_s, count)
        except KeyboardInterrupt:
            return


class _Session:
    """One terminal's view: the last answer, and what the operator has chosen."""

    def __init__(
        self, client: AdminClient, console: Console, terminal: Live, view: View, snapshot: Snapshot | None
    ) -> None:
        self._client = client
        self._console = console
        self._terminal = terminal
        self._view = view
        self._snapshot = snapshot
        self._size = console.size

    def run(self, keyboard: Keyboard, every_s: float, count: int | None) -> None:
        refreshes = 1
        due_s = time.monotonic() + every_s
        self._draw()
        while True:
            keys = keyboard.wait(min(SIZE_LOOKED_AT_EVERY_S, due_s - time.monotonic()))
            if self._press(keys):
                return
            is_due = time.monotonic() >= due_s and not self._view.is_paused
            if is_due:
                if count is not None and refreshes >= count:
                    return
                self._refresh()
                refreshes += 1
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + every_s
            if is_due or keys or self._console.size != self._size:
                self._draw()

    def _press(self, keys: str) -> bool:
        """Whether the operator wants to leave."""
        if keys.startswith(ESCAPE):
            return False
        for key in keys:
            if key in "qQ":
                return True
            if key in "sS":
                names = list(SORTS)
                self._view = replace(self._view, sort=names[(names.index(self._view.sort) + 1) % len(names)])
            elif key in "pP ":
                self._view = replace(self._view, is_paused=not self._view.is_paused)
        return False

    def _refresh(self) -> None:
        refresh = _ask_again(self._client)
        self._snapshot = refresh.snapshot or self._snapshot  # the last numbers stay, beside the problem
        self._view = replace(self._view, problem=refresh.problem)

    def _draw(self) -> None:
        self._size = self._console.size
        lines = screen(self._snapshot, self._view, self._size.width, self._size.height)
        self._terminal.update(Group(*lines), refresh=True)
