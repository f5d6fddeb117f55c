"""The packet's half of `fastrelay trace`: reading what is asked, and printing the explanation.

Lives here: hex text, whose keys and networks count, the form of the answer. Must not live here: the explanation itself
(fastrelay.observe.packet).
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import click

from fastrelay.cli.keys import load_ring
from fastrelay.config.addresses import parse_network
from fastrelay.errors import ConfigError
from fastrelay.observe.packet import LOCALS, Circumstances, Endpoint, Explanation, explain
from fastrelay.relay.configuration import load_relay_settings
from fastrelay.relay.settings import RelaySettings
from fastrelay.wire.address import format_endpoint, parse_endpoint
from fastrelay.wire.dissect import Fields

FORWARDED, DROPPED = 0, 1
SENDER: Endpoint = ("192.0.2.1", 40000)
ANY = (ip_network("0.0.0.0/0"), ip_network("::/0"))
PACKET_BYTES_MAX = 65_535
_NO_HEX = re.compile(r"[\s:]|0x")


@dataclass(frozen=True, slots=True)
class PacketQuestion:
    """What `fastrelay trace --packet` was given."""

    packet: str
    keys_path: Path | None
    source: str | None = None
    config_path: Path | None = None
    allow: tuple[str, ...] = ()
    cluster: int | None = None
    flow: str | None = None
    when: int | None = None


def answer(question: PacketQuestion, *, as_json: bool) -> int:
    """Print what a relay would do with the packet, and return the exit code."""
    packet = parse_hex(sys.stdin.read() if question.packet == "-" else question.packet)
    source = SENDER if question.source is None else parse_endpoint(question.source, key="--from")
    flow_to = None if question.flow is None else parse_endpoint(question.flow, key="--flow")
    explanation = explain(packet, source, _circumstances(question), flow_to)
    if as_json:
        click.echo(json.dumps(_document(explanation, source), indent=1))
    else:
        for line in _lines(explanation, source, flow_to):
            click.echo(line)
        if question.config_path is None and not question.allow:
            click.echo("note       any network counted as allowed: give --allow or --config to test the transceiver's")
    return FORWARDED if explanation.is_forwarded else DROPPED


def parse_hex(text: str) -> bytes:
    """Bytes of hex digits, with spaces, line breaks, colons or 0x between. ConfigError names the first that is none."""
    digits = _NO_HEX.sub("", text)
    for at, digit in enumerate(digits):
        if digit not in "0123456789abcdefABCDEF":
            raise ConfigError("--packet", f"{digit!r}, digit {at + 1}, is not hexadecimal")
    if len(digits) % 2:
        raise ConfigError("--packet", f"{len(digits)} hex digits are not whole bytes; one is missing")
    if len(digits) > 2 * PACKET_BYTES_MAX:
        raise ConfigError("--packet", f"{len(digits) // 2:,} bytes are more than a datagram holds")
    return bytes.fromhex(digits)


def _circumstances(question: PacketQuestion) -> Circumstances:
    unix_s = int(time.time()) if question.when is None else question.when
    if question.config_path is None:
        ring = load_ring(question.keys_path, dict(os.environ))
        allowed = tuple(parse_network(text) for text in question.allow) or ANY
        return Circumstances(ring, allowed, unix_s, question.cluster or 0)
    for value, flag in ((question.allow, "--allow"), (question.cluster is not None, "--cluster")):
        if value:
            raise ConfigError(flag, "is in the file that --config names; leave one out")
    settings = load_relay_settings(question.config_path, {}, os.environ)
    ring = settings.load_keys() if question.keys_path is None else load_ring(question.keys_path, {})
    return Circumstances(ring, settings.allowed, unix_s, settings.cluster, settings.limits, _locals(settings))


def _locals(settings: RelaySettings) -> tuple[Endpoint, ...]:
    """The relay's own addresses as far as the file names them: a packet from one of them is refused."""
    named = tuple((ip, port) for ip, port in settings.listen if ip not in {"0.0.0.0", "::"} and port)  # noqa: S104
    return (*named, *LOCALS)


def _lines(explanation: Explanation, source: Endpoint, flow_to: Endpoint | None) -> list[str]:
    known = "no flow" if flow_to is None else f"a flow to {format_endpoint(*flow_to)}"
    lines = [
        f"packet     {explanation.packet_class}, {explanation.length} bytes",
        *_listed(explanation.fields),
        f"sender     {format_endpoint(*source)}, {known} before it",
    ]
    if explanation.token:
        lines += ["token", *_listed(explanation.token)]
    lines.append(f"verdict    {explanation.verdict.name}: {explanation.verdict.text}")
    if explanation.to is not None:
        size = explanation.datagram_bytes
        lines.append(f"forwarded  to {format_endpoint(*explanation.to)}, in a trunk datagram of {size} bytes")
    else:
        lines.append("forwarded  no: dropped and counted, and the sender gets no answer")
    if explanation.advice:
        lines.append(f"advice     {explanation.advice}")
    return lines


def _listed(fields: Fields) -> list[str]:
    width = max((len(name) for name, _ in fields), default=0)
    return [f"  {name.ljust(width)}  {value}" for name, value in fields]


def _document(explanation: Explanation, source: Endpoint) -> dict[str, object]:
    return {
        "packet": {"class": explanation.packet_class, "bytes": explanation.length, "fields": explanation.fields},
        "sender": format_endpoint(*source),
        "token": dict(explanation.token) or None,
        "verdict": explanation.verdict.name,
        "text": explanation.verdict.text,
        "advice": explanation.advice,
        "is_forwarded": explanation.is_forwarded,
        "forwarded_to": None if explanation.to is None else format_endpoint(*explanation.to),
        "trunk_datagram_bytes": explanation.datagram_bytes,
    }
