"""`fastrelay up`: a relay, a transceiver and the demo page on this machine, with a live view of what passes.

Lives here: starting and ending them together, and what is shown. Must not live here: the two of them
(fastrelay.cli.demo), what is shown of a relay (fastrelay.observe.top).
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fastrelay.cli.demo.child import Child, Report
from fastrelay.errors import ConfigError, PeerError
from fastrelay.observe.answers import Snapshot
from fastrelay.observe.client import AdminClient, Place
from fastrelay.observe.screen import counted, rate
from fastrelay.observe.top import View, line, screen
from fastrelay.routing.keys import KeyRing
from fastrelay.wire.address import parse_endpoint

HTTP_PORT = 8080
LOOPBACK = "127.0.0.1"
ELSEWHERE = ("192.0.2.1", 9)
"""An address of nobody's (RFC 5737)."""
REFRESH_S = 1.0
LOOK_S = 0.05
ADMIN_PATIENCE_S = 10.0


@click.command()
@click.option(
    "--agent",
    default="echo",
    show_default=True,
    metavar="MODULE:OBJECT",
    help="What talks on the calls: a function of yours, or one of echo, recorder and tone.",
)
@click.option(
    "--http",
    "http_text",
    default=f"127.0.0.1:{HTTP_PORT}",
    show_default=True,
    metavar="ADDR:PORT",
    help="Address of the demo page and of signalling; who reaches it may call. The relay listens at the same one, and "
    "for 127.0.0.1 at this machine's own, too.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="End after this long. Without it: until Ctrl-C.",
)
def up(*, agent: str, http_text: str, seconds: float | None) -> None:
    """Start fastrelay on this machine: open the page that it prints, and talk to an agent in your browser.

    Your browser's packets go to a relay and from there to a transceiver, where the agent is; both run under their
    supervisors with a worker on each CPU, as they would on machines of their own. What you see below is the relay's
    `fastrelay top`, and a line about the transceiver. Their run directories are named in the second line, so that
    `fastrelay status --at`, `upgrade --at` and the others work on them meanwhile. The keys live in memory and end with
    it.

    \b
    Examples:
      fastrelay up
      fastrelay up --agent parrot:parrot
      fastrelay up --http 127.0.0.1:9000 --seconds 60

    On a terminal the view refreshes in place; anywhere else a few plain lines a second are printed. Browsers give pages
    the microphone at 127.0.0.1 and over HTTPS only: from another machine, forward the port (ssh -L does not carry UDP).
    The exit code is 0 when it was ended, 1 when a part of it ended by itself, 2 when the arguments cannot be used.
    """
    ip, port = _address(http_text)
    ring = KeyRing.new(now_s=int(time.time()))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="fastrelay-")))
        transceiver = stack.enter_context(Child("fastrelay.cli.demo.transceiver"))
        relay = stack.enter_context(Child("fastrelay.cli.demo.relay"))
        run_dirs = [folder / "relay", folder / "transceiver"]
        relay.start({"ring": ring.build(), "ip": ip, "listen": _relay_addresses(ip), "run_dir": str(run_dirs[0])})
        clients: list[str] = relay.wait_for_report()["clients"]
        transceiver.start(
            {
                "ring": ring.build(),
                "ip": ip,
                "run_dir": str(run_dirs[1]),
                "http": [ip, port],
                "relays": clients,
                "agent": agent,
            }
        )
        click.echo(f"open {transceiver.wait_for_report()['url']}/ and talk")
        click.echo(f"ready: clients {' '.join(clients)} at {' '.join(map(str, run_dirs))}")
        watch = _Watch(run_dirs, (relay, transceiver))
        with suppress(KeyboardInterrupt):  # the way to end it
            watch.run(seconds)
        # in this order, so that goodbyes find the relay
        served = transceiver.stop()
        relayed = relay.stop()
    for text in _outcome(relayed, served):
        click.echo(text)


def _address(text: str) -> tuple[str, int]:
    ip, port = parse_endpoint(text, key="--http")
    if ipaddress.ip_address(ip).is_unspecified:
        raise ConfigError("--http", f"{ip} is no address that a browser could send to; name one of this machine's")
    return ip, port


def _relay_addresses(ip: str) -> list[str]:
    """Where the relay listens: on loopback, and at this machine's own address: Firefox sends nothing to loopback."""
    if ip != LOOPBACK:
        return [ip]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)  # asks the kernel for the way there; nothing is sent
        except OSError:
            return [ip]  # a machine without a network
        own: str = probe.getsockname()[0]
    return list(dict.fromkeys((ip, own)))


class _Watch:
    """Looks at both once a second and shows it."""

    def __init__(self, run_dirs: Sequence[Path], children: Sequence[Child]) -> None:
        self._clients = [AdminClient(Place(str(run_dir), run_dir=run_dir)) for run_dir in run_dirs]
        self._children = children
        self._console = Console()
        self._transceiver: Snapshot | None = None

    def run(self, seconds: float | None) -> None:
        """PeerError when one of the two ends by itself."""
        is_live = self._console.is_terminal
        live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop") if is_live else None
        with ExitStack() as stack:
            if live is not None:
                stack.enter_context(live)
            for client in self._clients:
                _first_answer(client)
            started_s = due_s = time.monotonic()
            while seconds is None or time.monotonic() - started_s < seconds:
                are_running = [child.refresh() for child in self._children]
                if not all(are_running):
                    raise PeerError("a process of the demonstration has ended by itself")
                if time.monotonic() >= due_s:
                    due_s += REFRESH_S
                    self._look(live)
                time.sleep(LOOK_S)

    def _look(self, live: Live | None) -> None:
        relay, transceiver = [Snapshot.parse(client.status()) for client in self._clients]
        note = _now(self._transceiver, transceiver)
        self._transceiver = transceiver
        if live is None:
            for text in (line(relay), note):
                self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            rows = screen(relay, View(), self._console.width, max(self._console.height - 2, 1))
            live.update(Group(*rows, Text(note, no_wrap=True)), refresh=True)


def _first_answer(client: AdminClient) -> None:
    """Both serve before their admin ports do."""
    deadline_s = time.monotonic() + ADMIN_PATIENCE_S
    while True:
        try:
            client.status()
        except PeerError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(LOOK_S)
        else:
            return


def _now(before: Snapshot | None, now: Snapshot) -> str:
    text = f"agent   {counted(now.totals.calls, 'call')}"
    if before is None or now.now_s <= before.now_s:
        return text
    seconds = now.now_s - before.now_s
    heard = (now.totals.audio_in - before.totals.audio_in) / seconds
    said = (now.totals.audio_out - before.totals.audio_out) / seconds
    return f"{text}, hears {rate(heard)}/s, says {rate(said)}/s"


def _outcome(relayed: Report, served: Report) -> list[str]:
    lines: list[str] = list(relayed.get("summary", ()))
    if totals := served.get("totals"):
        heard, said = totals["audio_in"], totals["audio_out"]
        lines.append(f"agent   {counted(totals['opened'], 'call')}, heard {heard:,} packets, said {said:,}")
    return lines
