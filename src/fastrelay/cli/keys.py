"""`fastrelay keys`: make, rotate, retire and show key rings.

Must not live here: what rotation means (fastrelay.routing.keys). No command prints a secret.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from fastrelay.errors import ConfigError
from fastrelay.routing.keys import ENVIRONMENT_FILE, ROTATION_DELAY_S, TOKEN_LIFETIME_S, Key, KeyRing

key_file = click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
not_negative = click.IntRange(min=0)


@click.group()
def keys() -> None:
    """Make, rotate, retire and show the keys that seal route tokens.

    Relays and transceivers share one key ring: a file that only its owner may read, named by --keys or by
    FASTRELAY_KEYS_FILE, or the file's content in FASTRELAY_KEYS.
    """


@keys.command()
@key_file
def new(path: Path) -> None:
    """Make a key ring with one random key that mints at once. An existing file is never replaced.

    \b
    Example:
      fastrelay keys new keys.json
    """
    now_s = int(time.time())
    ring = KeyRing.new(now_s=now_s)
    ring.save(path, is_new=True)
    click.echo(f"{path}: key {ring.keys[0].id} ({ring.keys[0].fingerprint}) mints from now on")


@keys.command()
@key_file
@click.option(
    "--delay",
    "delay_s",
    type=not_negative,
    default=ROTATION_DELAY_S,
    show_default=True,
    metavar="SECONDS",
    help="Until the new key mints: the time you need to bring the file to every relay.",
)
@click.option(
    "--lifetime",
    "token_lifetime_s",
    type=click.IntRange(min=1),
    default=TOKEN_LIFETIME_S,
    show_default=True,
    metavar="SECONDS",
    help="How long a token opens; the old keys are retired that long after the new one mints.",
)
def rotate(path: Path, delay_s: int, token_lifetime_s: int) -> None:
    """Add a random key that mints after a delay, and let the others end when no token of theirs is alive.

    Bring the file to every relay before the delay is over, and to transceivers at any time before the old keys end.

    With --delay 0 the new key mints at once: for the day when a secret is out, before `keys retire`.

    \b
    Examples:
      fastrelay keys rotate keys.json
      fastrelay keys rotate keys.json --delay 600 --lifetime 7200
    """
    now_s = int(time.time())
    before = KeyRing.load(path)
    after = before.rotate(now_s=now_s, delay_s=delay_s, token_lifetime_s=token_lifetime_s)
    after.save(path)
    added = max(after.keys, key=lambda key: (key.open_until_s is None, key.mint_from_s))
    click.echo(f"{path}: key {added.id} ({added.fingerprint}) mints from {_moment(added.mint_from_s)}")
    for dropped in sorted({key.id for key in before.keys if key.secret not in {kept.secret for kept in after.keys}}):
        click.echo(f"{path}: key {dropped} had ended and is dropped")


@keys.command()
@key_file
@click.argument("key_id", metavar="ID", type=int)
def retire(path: Path, key_id: int) -> None:
    """End one key now, because its secret is out. Sessions whose tokens it sealed cannot reconnect.

    \b
    Example:
      fastrelay keys rotate keys.json --delay 0 && fastrelay keys retire keys.json 3
    """
    KeyRing.load(path).retire(key_id, now_s=int(time.time())).save(path)
    click.echo(f"{path}: key {key_id} has ended")


@keys.command()
@key_file
@as_json
def show(path: Path, *, as_json: bool) -> None:
    """Show each key's fingerprint and times, and which key mints. Secrets are not shown.

    \b
    Examples:
      fastrelay keys show keys.json
      fastrelay keys show keys.json --json
    """
    now_s = int(time.time())
    ring = KeyRing.load(path)
    minting = _minting_id(ring, now_s)
    if as_json:
        click.echo(json.dumps({"keys": [_summary(key, minting, now_s) for key in ring.keys]}, indent=1))
        return
    click.echo("id  fingerprint       state    age       mints from            opens until")
    for key in ring.keys:
        ends = "no end" if key.open_until_s is None else _moment(key.open_until_s)
        click.echo(
            f"{key.id:2}  {key.fingerprint}  {_state(key, minting, now_s):7}  {_age(now_s - key.mint_from_s):8}  "
            f"{_moment(key.mint_from_s)}  {ends}"
        )


def load_ring(path: Path | None, environ: dict[str, str]) -> KeyRing:
    """Return the ring of --keys, else of the environment; a flag goes before the environment."""
    ring = KeyRing.load(path) if path is not None else KeyRing.from_environment(environ)
    if ring is None:
        raise ConfigError("--keys", f"no key ring: give a file here or in {ENVIRONMENT_FILE} (make one: keys new)")
    return ring


def _minting_id(ring: KeyRing, now_s: int) -> int | None:
    return ring.minting_key(now_s).id if any(key.is_minting(now_s) for key in ring.keys) else None


def _state(key: Key, minting_id: int | None, now_s: int) -> str:
    if not key.is_open(now_s):
        return "ended"
    if key.id == minting_id:
        return "mints"
    will_mint = key.mint_from_s > now_s and key.is_open(key.mint_from_s)
    return "waits" if will_mint else "opens"


def _summary(key: Key, minting_id: int | None, now_s: int) -> dict[str, object]:
    return {
        "id": key.id,
        "fingerprint": key.fingerprint,
        "state": _state(key, minting_id, now_s),
        "age_s": now_s - key.mint_from_s,
        "mint_from": key.mint_from_s,
        "open_until": key.open_until_s,
    }


def _age(seconds: int) -> str:
    """Return the age in the largest unit of which there are two; a key that is to come has none."""
    if seconds < 0:
        return "-"
    for unit, size in (("days", 86_400), ("hours", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _moment(moment_s: int) -> str:
    try:
        return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError):  # beyond the year 9999
        return f"{moment_s} s"
