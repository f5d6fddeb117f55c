"""`fastrelay token`: mint and open route tokens by hand.

Must not live here: the format and the checks (fastrelay.routing.token), address text (fastrelay.wire.address).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from fastrelay.cli.keys import as_json, load_ring
from fastrelay.errors import ConfigError, TokenError
from fastrelay.routing.keys import TOKEN_LIFETIME_S
from fastrelay.routing.token import CLOCK_SKEW_S, SESSION_ID_LENGTH, RouteToken, mint_token, open_token, parse_text
from fastrelay.wire.address import format_endpoint, parse_endpoint

REFUSED = 1

keys_option = click.option(
    "--keys",
    "keys_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The key ring. Without it: FASTRELAY_KEYS_FILE names one, or FASTRELAY_KEYS holds one.",
)
cluster_number = click.IntRange(0, 0xFFFF)


@click.group()
def token() -> None:
    """Mint and open route tokens: the ICE user names that tell a relay where a client's packets go."""


@token.command()
@keys_option
@click.option("--to", "to", required=True, metavar="ADDR:PORT", help="The transceiver's trunk address.")
@click.option("--cluster", type=cluster_number, default=0, show_default=True, help="The transceiver's cluster.")
@click.option("--session", metavar="HEX", help="The session id, 16 hex digits; random without it.")
@as_json
def mint(keys_path: Path | None, to: str, cluster: int, session: str | None, *, as_json: bool) -> None:
    """Seal a token and print the ICE user name and password that an answer would carry.

    \b
    Examples:
      fastrelay token mint --keys keys.json --to 10.0.0.7:4000
      fastrelay token mint --keys keys.json --to '[2001:db8::7]:4000' --cluster 3 --json
    """
    endpoint = parse_endpoint(to, key="--to")
    if endpoint[1] == 0:
        raise ConfigError("--to", f"{to!r} has port 0, which no transceiver can be reached at")
    ring = load_ring(keys_path, dict(os.environ))
    minted = mint_token(
        ring, to=endpoint, now_s=time.time(), cluster=cluster, session_id=_session_id(session) if session else None
    )
    if as_json:
        facts = {"ufrag": minted.ufrag, "password": minted.password, **_facts(minted.token)}
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"ufrag     {minted.ufrag}")
    click.echo(f"password  {minted.password}")


@token.command("open")
@keys_option
@click.argument("text", metavar="TOKEN")
@click.option("--cluster", type=cluster_number, help="Refuse tokens of other clusters, as a relay of this one does.")
@click.option(
    "--lifetime",
    "lifetime_s",
    type=click.IntRange(min=1),
    default=TOKEN_LIFETIME_S,
    show_default=True,
    metavar="SECONDS",
    help="How long a token opens.",
)
@as_json
@click.pass_context
def open_(
    context: click.Context, keys_path: Path | None, text: str, cluster: int | None, lifetime_s: int, *, as_json: bool
) -> None:
    """Open a token as a relay would and print what it says; or say why it is refused, and exit with 1.

    A whole ICE user name is taken too: what follows the colon is the client's.

    \b
    Examples:
      fastrelay token open --keys keys.json EH3xQm…
      fastrelay token open --keys keys.json --json EH3xQm… | jq -r .transceiver
    """
    ring = load_ring(keys_path, dict(os.environ))
    text = text.partition(":")[0]
    now_s = time.time()
    try:
        opened = open_token(text, ring, now_s=now_s, cluster=cluster, lifetime_s=lifetime_s, clock_skew_s=CLOCK_SKEW_S)
    except TokenError as error:
        if as_json:
            click.echo(json.dumps({"refused": error.reason.name, "problem": str(error)}, indent=1))
        click.echo(f"fastrelay: {error.reason.name}: {error}", err=True)
        context.exit(REFUSED)
    facts = {"key": parse_text(text)[0] & 15, **_facts(opened), "age_s": int(now_s) - opened.minted_at_s}
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        click.echo(f"{name:11}  {value}")


def _session_id(text: str) -> bytes:
    # bytes.fromhex() alone would take spaces and any length
    if len(text) != 2 * SESSION_ID_LENGTH or not all(digit in "0123456789abcdef" for digit in text.lower()):
        raise ConfigError("--session", f"{text!r} is not {2 * SESSION_ID_LENGTH} hex digits")
    return bytes.fromhex(text)


def _facts(opened: RouteToken) -> dict[str, str | int]:
    return {
        "transceiver": format_endpoint(*opened.transceiver),
        "cluster": opened.cluster,
        "session": opened.session_id.hex(),
        "minted_at": opened.minted_at_s,
    }
