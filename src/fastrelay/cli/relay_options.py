"""The options of `fastrelay relay`: each flag gives one setting, and any setting may come from elsewhere instead.

Lives here: names and forms of flags. Their values stay texts: the schema judges them, whichever way they came. Must not
live here: what a setting means (fastrelay.relay.schema).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from fastrelay.config.kinds import Listing
from fastrelay.config.schema import Setting
from fastrelay.relay.schema import (
    ADMIN,
    ALLOW,
    BUSY_POLL,
    CLUSTER,
    COUNT,
    KEYS_FILE,
    LATENCY_SAMPLES,
    LIMITS,
    LISTEN,
    OFFLOAD,
    RUN_DIR,
    SPIN,
    STEERING,
    TRUNK,
    USER,
)
from fastrelay.service.schema import DRAIN_TIMEOUT, LOG_FORM

METAVARS: dict[Setting[Any], str] = {
    LISTEN: "ADDR:PORT",
    TRUNK: "ADDR[:PORT]",
    KEYS_FILE: "FILE",
    ALLOW: "CIDR",
    CLUSTER: "NUMBER",
    COUNT: "auto|N|CPUS",
    STEERING: "auto|cpu|hash|kernel",
    LIMITS["flows"]: "NUMBER",
    LIMITS["token_lifetime_s"]: "SECONDS",
    BUSY_POLL: "USEC",
    USER: "NAME",
    RUN_DIR: "FOLDER",
    ADMIN: "ADDR:PORT",
    DRAIN_TIMEOUT: "SECONDS",
    LOG_FORM: "console|json",
}
SWITCHES: dict[Setting[bool], tuple[bool, str]] = {
    SPIN: (True, SPIN.reason),
    OFFLOAD: (False, "Leave UDP_SEGMENT and UDP_GRO alone, on a kernel that breaks them."),
    LATENCY_SAMPLES: (False, "Ask for no receive timestamps: a few ns less a packet."),
}

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read settings from this TOML file. A variable FASTRELAY_SECTION__KEY goes before it, and a flag before both.",
)


def relay_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add every option that gives a setting. The command gets `config_path`, and `flags` for load_relay_settings."""

    @wraps(command)
    def with_flags(**given: Any) -> None:
        flags: dict[str, object] = {}
        for setting in METAVARS:
            value = given.pop(_parameter(setting))
            if value not in (None, ()):
                flags[setting.name] = value
        for switch, (meant, _) in SWITCHES.items():
            if given.pop(_parameter(switch)):
                flags[switch.name] = meant
        command(flags=flags, **given)

    decorated: Callable[..., None] = with_flags
    # order matters: click shows the last one added first
    for switch, (_, words) in reversed(SWITCHES.items()):
        decorated = click.option(str(switch.flag), _parameter(switch), is_flag=True, help=words)(decorated)
    for setting, metavar in reversed(METAVARS.items()):
        is_listing = isinstance(setting.kind, Listing)
        decorated = click.option(
            str(setting.flag), _parameter(setting), metavar=metavar, multiple=is_listing, help=_help(setting)
        )(decorated)
    return config_option(decorated)


def _parameter(setting: Setting[Any]) -> str:
    return setting.name.replace(".", "__")


def _help(setting: Setting[Any]) -> str:
    repeated = " Give it several times for several." if isinstance(setting.kind, Listing) else ""
    default = "" if setting.default is None else f"  [default: {setting.kind.build(setting.default)}]"
    return f"{setting.reason}{repeated}{default}"
