"""The options of `fastrelay relay`: each flag gives one setting, and any setting may come from elsewhere instead.

Lives here: names and forms of flags. Must not live here: how options are made of them (setting_options), what a setting
means (fastrelay.relay.schema).
"""

from __future__ import annotations

from typing import Any

from fastrelay.cli.setting_options import setting_options
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

relay_options = setting_options(METAVARS, SWITCHES)
"""Adds every option of `fastrelay relay` to a command."""
