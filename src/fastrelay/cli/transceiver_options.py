"""The options of `fastrelay transceiver`: each flag gives one setting, and any setting may come from elsewhere instead.

Lives here: names and forms of flags. Must not live here: how options are made of them (setting_options), what a setting
means (fastrelay.transceiver.supervisor.schema).
"""

from __future__ import annotations

from typing import Any

from fastrelay.cli.setting_options import setting_options
from fastrelay.config.schema import Setting
from fastrelay.service.schema import DRAIN_TIMEOUT, LOG_FORM
from fastrelay.transceiver.supervisor.schema import (
    ADMIN,
    AGENT,
    ALLOW,
    API_KEYS_FILE,
    CALLS,
    CLUSTER,
    COUNT,
    DEMO,
    DTLS_ROLE,
    HTTP,
    KEYS_FILE,
    OPEN,
    ORIGINS,
    RELAYS,
    RUN_DIR,
    TRUNK,
    USER,
)

METAVARS: dict[Setting[Any], str] = {
    HTTP: "ADDR:PORT",
    TRUNK: "ADDR[:PORT]",
    RELAYS: "ADDR:PORT",
    KEYS_FILE: "FILE",
    ALLOW: "CIDR",
    AGENT: "MODULE:OBJECT",
    API_KEYS_FILE: "FILE",
    ORIGINS: "ORIGIN",
    CLUSTER: "NUMBER",
    COUNT: "auto|N|CPUS",
    CALLS: "NUMBER",
    DTLS_ROLE: "passive|active",
    USER: "NAME",
    RUN_DIR: "FOLDER",
    ADMIN: "ADDR:PORT",
    DRAIN_TIMEOUT: "SECONDS",
    LOG_FORM: "console|json",
}
SWITCHES: dict[Setting[bool], tuple[bool, str]] = {OPEN: (True, OPEN.reason), DEMO: (True, DEMO.reason)}

transceiver_options = setting_options(METAVARS, SWITCHES)
"""Adds every option of `fastrelay transceiver` to a command."""
