"""`fastrelay trace`: one session through a relay's journal, its flows and its logs; or one packet through its decision.

Lives here: the options of both, and the session's way: whom to ask, what is printed. Must not live here: the packet's
(cli.packet), merging (fastrelay.observe.timeline), asking (fastrelay.observe.client).
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fastrelay.cli.keys import as_json, load_ring
from fastrelay.cli.token import cluster_number, keys_option
from fastrelay.errors import ConfigError, FastrelayError, PeerError, TokenError
from fastrelay.observe.answers import Flow, rows
from fastrelay.observe.client import ENVIRONMENT, RUN_DIR, AdminClient, parse_place
from fastrelay.observe.timeline import Entry, flow_text, in_order, journalled, logged, moment_text
from fastrelay.routing.token import RouteToken, open_sealed, parse_text
from fastrelay.wire.address import format_endpoint

UNKNOWN = 1
EVENTS_MAX = 2048
FLOWS_MAX = 1000
_SESSION = re.compile(r"[0-9a-fA-F]{16}")
_PACKET_ONLY = {"source": "--from", "config_path": "--config", "allow": "--allow", "flow": "--flow", "when": "--when"}


@dataclass(slots=True)
class Story:
    """What is known of one session."""

    session: str
    token: RouteToken | None = None
    entries: list[Entry] = field(default_factory=list)
    flows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Where each is, and how."""


@click.command()
@click.argument("session", metavar="[SESSION]", required=False)
@click.option(
    "--at",
    "at",
    metavar="WHERE",
    multiple=True,
    envvar=ENVIRONMENT,
    default=(RUN_DIR,),
    show_default=RUN_DIR,
    show_envvar=True,
    help="A relay: its --run-dir on this machine, or http://HOST:PORT. Give it several times to ask several.",
)
@click.option(
    "--log",
    "logs",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="A log of JSON lines (--log json) to look through; - is standard input. May be given several times.",
)
@keys_option
@click.option("--packet", metavar="HEX", help="Explain this packet instead; - reads it from standard input.")
@click.option("--from", "source", metavar="ADDR:PORT", help="The packet's sender.  [default: 192.0.2.1:40000]")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The relay's configuration: its keys, networks, cluster and limits decide about the packet.",
)
@click.option("--allow", multiple=True, metavar="CIDR", help="Without --config: an allowed network. Default: any.")
@click.option("--cluster", type=cluster_number, help="Without --config: the relay's cluster.  [default: 0]")
@click.option("--flow", metavar="ADDR:PORT", help="The sender has a flow to this transceiver already.")
@click.option("--when", type=click.IntRange(0, 2**32 - 1), metavar="UNIX", help="The moment to judge at. Default: now.")
@as_json
@click.pass_context
def trace(
    context: click.Context,
    /,
    *,
    session: str | None,
    at: tuple[str, ...],
    logs: tuple[Path, ...],
    keys_path: Path | None,
    packet: str | None,
    as_json: bool,
    **about_packet: Any,
) -> None:
    """Follow one session through relays and their logs; or, with --packet, one packet through a relay's decision.

    SESSION is a session id of 16 hex digits, or a route token or ICE user name, which --keys opens.

    With --packet nothing is sent and no running relay is asked: this release's own packet path decides on an empty
    table, and tells the verdict, what it rests on, and what an operator does about it.

    \b
    Examples:
      fastrelay trace 00f1e2d3c4b5a697
      fastrelay trace --keys keys.json EH3xQm… --at http://10.0.0.5:9464 --at http://10.0.0.6:9464
      journalctl -o cat -u fastrelay-relay | fastrelay trace 00f1e2d3c4b5a697 --log -
      fastrelay trace --packet '000100442112a442…' --from 198.51.100.7:61000 --config relay.toml

    The exit code is 0 when something is known, or the packet would be forwarded; 1 when nothing is known, or it would
    be dropped; 2 when an argument cannot be used.
    """
    if (session is None) == (packet is None):
        raise ConfigError("trace", "give either a session or --packet")
    if packet is not None:
        # Brings asyncio and a STUN library with it, which every relay would carry along if it stood at the top.
        from fastrelay.cli.packet import PacketQuestion, answer  # noqa: PLC0415

        context.exit(answer(PacketQuestion(packet, keys_path, **about_packet), as_json=as_json))
    for name, flag in _PACKET_ONLY.items():
        if about_packet[name]:
            raise ConfigError(flag, "goes together with --packet only")
    story = _subject(session or "", keys_path)
    has_chosen_place = context.get_parameter_source("at") is not ParameterSource.DEFAULT
    _ask_relays(story, at, is_optional=bool(logs) and not has_chosen_place)
    for path in logs:
        story.entries += _read_log(path, story.session)
    story.entries = in_order(story.entries)
    _print_json(story) if as_json else _print(story)
    if not story.entries and not story.flows:
        click.echo(f"fastrelay: {_nothing_known(story, has_logs=bool(logs))}", err=True)
        context.exit(UNKNOWN)


def _subject(text: str, keys_path: Path | None) -> Story:
    """The session of an id, or of a token whatever its age."""
    if _SESSION.fullmatch(text):
        return Story(text.lower())
    ufrag = text.partition(":")[0]
    try:
        key_id = parse_text(ufrag)[0] & 15
    except TokenError:
        raise ConfigError("SESSION", f"{text!r} is neither 16 hex digits nor a route token") from None
    key = load_ring(keys_path, dict(os.environ)).find(key_id)
    if key is None:
        raise ConfigError("--keys", f"the token is sealed with key {key_id}, which is not in this key ring")
    token = open_sealed(ufrag, key)
    return Story(token.session_id.hex(), token)


def _ask_relays(story: Story, places: tuple[str, ...], *, is_optional: bool) -> None:
    """One relay that does not answer does not hide what others know."""
    problems: list[FastrelayError] = []
    for text in places:
        try:
            _ask(story, AdminClient(parse_place(text)))
        except (PeerError, ConfigError) as error:
            problems.append(error)
    if is_optional:
        return
    if len(problems) == len(places):
        raise problems[0]
    for problem in problems:
        click.echo(f"fastrelay: {problem}", err=True)


def _ask(story: Story, client: AdminClient) -> None:
    place = client.place.text
    events = client.document("/events", {"session": story.session, "limit": EVENTS_MAX}).get("events") or []
    flows = client.document("/flows", {"session": story.session, "limit": FLOWS_MAX})
    rows(Flow, flows, "flows")  # a relay that answers nonsense is told of here, not in the middle of the printing
    story.entries += journalled([each for each in events if isinstance(each, dict)], place)
    story.flows += [(place, each) for each in flows.get("flows") or []]


def _read_log(path: Path, session: str) -> list[Entry]:
    source = "log" if str(path) == "-" else path.name
    try:
        with click.open_file(str(path), errors="replace") as lines:
            return list(logged(lines, session, source))
    except OSError as error:
        raise ConfigError("--log", f"{path}: {error.strerror}") from None


def _print(story: Story) -> None:
    for line in _lines(story):
        click.echo(line)


def _lines(story: Story) -> Iterator[str]:
    yield f"session  {story.session}"
    if story.token is not None:
        token = story.token
        minted = moment_text(token.minted_at_s)
        yield f"token    for {format_endpoint(*token.transceiver)}, cluster {token.cluster}, minted {minted}"
    width = max((len(entry.source) for entry in story.entries), default=0)
    for entry in story.entries:
        yield f"{moment_text(entry.moment_s)}  {entry.source.ljust(width)}  {entry.line()}"
    for place, flow in story.flows:
        yield f"{'now':24}  {place.ljust(width)}  {flow_text(Flow.parse(flow))}"


def _print_json(story: Story) -> None:
    token = story.token
    document = {
        "session": story.session,
        "token": None
        if token is None
        else {
            "transceiver": format_endpoint(*token.transceiver),
            "cluster": token.cluster,
            "minted_at": token.minted_at_s,
        },
        "now_s": round(time.time(), 3),
        "entries": [entry.build() for entry in story.entries],
        "flows": [{"at": place, **flow} for place, flow in story.flows],
    }
    click.echo(json.dumps(document, indent=1))


def _nothing_known(story: Story, *, has_logs: bool) -> str:
    logs = "in no line of these logs" if has_logs else "and no --log was given to look through"
    return (
        f"nothing is known of session {story.session}: not in the journal, which holds the last {EVENTS_MAX:,} events "
        f"of a worker, not among the flows, {logs}"
    )
