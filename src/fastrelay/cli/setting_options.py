"""Options that give settings: each flag gives one, and any setting may come from elsewhere instead.

Lives here: making options of settings. Their values stay texts: the schema judges them, whichever way they came. Must
not live here: which options a command has (relay_options, transceiver_options).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from fastrelay.config.kinds import Listing, OrNone
from fastrelay.config.schema import Setting

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read settings from this TOML file. A variable FASTRELAY_SECTION__KEY goes before it, and a flag before both.",
)


def setting_options(
    metavars: dict[Setting[Any], str], switches: dict[Setting[bool], tuple[bool, str]]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each. The command gets `config_path`, and `flags`: what was given, by the settings' names.

    A switch has the value that it stands for, and its help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_flags(**given: Any) -> None:
            flags: dict[str, object] = {}
            for setting in metavars:
                value = given.pop(_parameter(setting))
                if value not in (None, ()):
                    flags[setting.name] = value
            for switch, (meant, _) in switches.items():
                if given.pop(_parameter(switch)):
                    flags[switch.name] = meant
            command(flags=flags, **given)

        decorated: Callable[..., None] = with_flags
        # order matters: click shows the last one added first
        for switch, (_, words) in reversed(switches.items()):
            decorated = click.option(str(switch.flag), _parameter(switch), is_flag=True, help=words)(decorated)
        for setting, metavar in reversed(metavars.items()):
            decorated = click.option(
                str(setting.flag),
                _parameter(setting),
                metavar=metavar,
                multiple=_is_listing(setting),
                help=_help(setting),
            )(decorated)
        return config_option(decorated)

    return decorate


def _parameter(setting: Setting[Any]) -> str:
    return setting.name.replace(".", "__")


def _is_listing(setting: Setting[Any]) -> bool:
    kind = setting.kind.kind if isinstance(setting.kind, OrNone) else setting.kind
    return isinstance(kind, Listing)


def _help(setting: Setting[Any]) -> str:
    repeated = " Give it several times for several." if _is_listing(setting) else ""
    default = "" if setting.default is None else f"  [default: {_shown(setting.kind.build(setting.default))}]"
    return f"{setting.reason}{repeated}{default}"


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
