"""Every setting of a relay: what it takes, its default, the names it goes by, and in a line what it is for.

Lives here: the declarations. Must not live here: how settings are read (fastrelay.config), or what they mean together
(configuration, settings).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastrelay.config.kinds import Choice, Fault, FilePath, Kind, Listing, OrNone, Switch, Text, Unfit, Whole, shown
from fastrelay.config.schema import Schema, Setting
from fastrelay.observe.logs import FORMS
from fastrelay.relay.dataplane.limits import BURST_MAX, MILLISECONDS_MAX, NUMBER_MAX, SESSION_FLOWS_MAX, Limits
from fastrelay.relay.settings import (
    ALLOWED_MAX,
    DRAIN_TIMEOUT_MAX_S,
    LISTENERS_MAX,
    WORKERS_MAX,
    Endpoint,
    Network,
    Steering,
    parse_network,
)
from fastrelay.routing.keys import ENVIRONMENT, ENVIRONMENT_FILE
from fastrelay.wire.address import format_endpoint, parse_endpoint

FLOWS_MAX = (1 << 24) - 2
PEERS_MAX = 1024
BUSY_POLL_MAX_US = 1_000_000
CLUSTER_MAX = 0xFFFF
CPU_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers, or on which CPUs; neither: as many as this process has CPUs."""

    count: int | None = None
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class WorkersKind(Kind[Workers]):
    """`auto`, a number of workers, or the CPU of each as `0-3,6`."""

    @property
    def allowed(self) -> str:
        return f"auto, a number from 1 to {WORKERS_MAX}, or a list of CPUs as 0-3,6 (one CPU alone: 4-4)"

    def read(self, text: str) -> object:
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else text

    def parse(self, value: object) -> Workers:
        if value == "auto":
            return Workers()
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= WORKERS_MAX:
                raise Unfit(Fault(f"{value}, must be 1 to {WORKERS_MAX}"))
            return Workers(count=value)
        # a number in quotation marks could be meant as a CPU
        if not isinstance(value, str) or value.isdigit():
            raise self._unfit(value)
        return Workers(cpus=self._cpus(value))

    def _cpus(self, text: str) -> tuple[int, ...]:
        cpus: list[int] = []
        for part in text.split(","):
            match = CPU_RANGE.fullmatch(part.strip())
            if match is None:
                raise self._unfit(text)
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise Unfit(Fault(f"{shown(text)}, in which {part.strip()} runs backwards"))
            cpus += range(first, last + 1)
        if twice := sorted({cpu for cpu in cpus if cpus.count(cpu) > 1}):
            raise Unfit(Fault(f"{shown(text)}, in which CPU {twice[0]} is there twice"))
        if len(cpus) > WORKERS_MAX:
            raise Unfit(Fault(f"{len(cpus)} CPUs, must be 1 to {WORKERS_MAX}"))
        return tuple(cpus)

    def build(self, value: Workers) -> object:
        return ",".join(map(str, value.cpus)) if value.cpus else value.count or "auto"

    def json_schema(self) -> dict[str, Any]:
        cpus = {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"}
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": WORKERS_MAX}, {"const": "auto"}, cpus]}


def _trunk_endpoint(text: str) -> Endpoint:
    return parse_endpoint(text, default_port=0)


def _endpoint_text(endpoint: Endpoint) -> str:
    return format_endpoint(*endpoint)


ADDRESS: Text[Endpoint] = Text(
    parse_endpoint, "an address with a port, as 192.0.2.1:3478 or [2001:db8::1]:3478", _endpoint_text
)
TRUNK_ADDRESS: Text[Endpoint] = Text(_trunk_endpoint, "an address, as 10.0.0.5 or 10.0.0.5:4000", _endpoint_text)
NETWORK: Text[Network] = Text(parse_network, "a network, as 10.0.0.0/8", str)
NAME: Text[str] = Text(str, "a name", str)

LISTEN: Setting[tuple[Endpoint, ...]] = Setting(
    "relay.listen",
    Listing(ADDRESS, "addresses", 1, LISTENERS_MAX),
    "Addresses for clients. 0.0.0.0 and [::] listen on every address of their family and answer from the one a client "
    "has used; port 0 lets the kernel choose.",
    flag="--listen",
    is_required=True,
)
TRUNK: Setting[Endpoint] = Setting(
    "relay.trunk",
    TRUNK_ADDRESS,
    "Address towards transceivers. Worker i takes the port plus i; without a port the kernel chooses. [::] reaches "
    "both families.",
    flag="--trunk",
    is_required=True,
)
ALLOW: Setting[tuple[Network, ...]] = Setting(
    "relay.allow",
    Listing(NETWORK, "networks", 1, ALLOWED_MAX),
    "Networks that transceivers live in. Tokens that point elsewhere, and trunk datagrams from elsewhere, are refused.",
    flag="--allow",
    is_required=True,
)
CLUSTER: Setting[int] = Setting(
    "relay.cluster", Whole(0, CLUSTER_MAX), "Refuse the tokens of other clusters.", default=0, flag="--cluster"
)
KEYS: Setting[str] = Setting(
    "relay.keys",
    Text(str, "the content of a key ring file", str),
    "The key ring itself, from the environment alone.",
    other_variables=(ENVIRONMENT,),
    is_secret=True,
)
KEYS_FILE: Setting[Path | None] = Setting(
    "relay.keys_file",
    OrNone(FilePath("the name of a key ring file")),
    "File with the key ring, which only its owner may read.",
    flag="--keys",
    other_variables=(ENVIRONMENT_FILE,),
)
USER: Setting[str | None] = Setting(
    "relay.user", OrNone(NAME), "Become this user once sockets are open. The key file must be theirs.", flag="--user"
)
RUN_DIR: Setting[Path | None] = Setting(
    "relay.run_dir",
    OrNone(FilePath("the name of a folder")),
    "Folder where operators' commands and a restarted supervisor find this relay. Without one, workers end with it.",
    flag="--run-dir",
)
COUNT: Setting[Workers] = Setting(
    "workers.count",
    WorkersKind(),
    "Worker processes, each on a CPU of its own: auto for one on every CPU it may use, a number, or CPUs as 0-3,6.",
    default=Workers(),
    flag="--workers",
)
STEERING: Setting[Steering] = Setting(
    "workers.steering",
    Choice(tuple(Steering)),
    "Who chooses a client's worker: the CPU its packet arrived on, a hash of its address, or the kernel's own hash. "
    "auto takes cpu where every worker has a receive queue, else hash.",
    default=Steering.AUTO,
    flag="--steering",
)
SPIN: Setting[bool] = Setting(
    "workers.spin",
    Switch(),
    "Never sleep: the lowest latency, for a whole CPU a worker.",
    default=False,
    flag="--spin",
)
BUSY_POLL: Setting[int] = Setting(
    "workers.busy_poll_us",
    Whole(0, BUSY_POLL_MAX_US),
    "Let the kernel poll the network card that long before it sleeps: lower latency, more CPU. 0: off.",
    default=0,
    unit="µs",
    flag="--busy-poll",
)
OFFLOAD: Setting[bool] = Setting(
    "workers.offload",
    Switch(),
    "Use UDP_SEGMENT and UDP_GRO. false leaves them alone, on a kernel that breaks them.",
    default=True,
    flag="--no-offload",
)
LATENCY_SAMPLES: Setting[bool] = Setting(
    "workers.latency_samples",
    Switch(),
    "Measure hops by receive timestamps. false asks for none: a few ns less a packet.",
    default=True,
    flag="--no-latency-samples",
)
ADMIN: Setting[Endpoint | None] = Setting(
    "admin.listen",
    OrNone(ADDRESS),
    "Address of the admin port: health, metrics, flows. Without one they are served inside the run directory alone.",
    flag="--admin",
)
DRAIN_TIMEOUT: Setting[int] = Setting(
    "drain.timeout_s",
    Whole(0, int(DRAIN_TIMEOUT_MAX_S)),
    "How long a draining relay waits for its calls to end.",
    default=3600,
    unit="s",
    flag="--drain-timeout",
)
LOG_FORM: Setting[str] = Setting(
    "log.form",
    Choice(FORMS),
    "Form of the log lines on standard error.",
    default="console",
    flag="--log",
)

LIMIT_REASONS = {
    "flows": "Clients a worker can hold. Its table takes under 128 bytes for each.",
    "peers": "Transceivers a worker can speak to.",
    "unconfirmed_after_ms": "Until an unanswered flow is dropped: a transceiver answers a check at once or never.",
    "idle_after_ms": "Silence of a client after which its flow ends. Keep it above the 30 s of ICE consent.",
    "sweep_period_ms": "In which every flow is looked at once for silence.",
    "session_flows": "Flows of one session: a roaming client leaves old addresses behind until they go idle.",
    "source_admissions_per_s": "New flows that one IPv4 address or IPv6 /64 may try; carriers put many behind one.",
    "source_admissions_burst": "The same at once.",
    "admissions_per_s": "New flows that one worker tries, at about 4 µs each.",
    "admissions_burst": "The same at once: it bounds how long a flood may hold up live calls.",
    "recreations_per_s": "Lost flows that one worker makes again for authenticated transceivers.",
    "recreations_burst": "The same at once.",
    "sibling_lookups_per_s": "Looks into other workers' tables that one worker takes for clients it does not know.",
    "sibling_lookups_burst": "The same at once: how many calls may change workers together.",
    "token_lifetime_s": "How long after its minting a token opens: the longest call plus reconnects.",
    "clock_skew_s": "How far a minting clock may be ahead of this one.",
    "hello_every_ms": "Between two HELLOs to a transceiver.",
    "peer_forget_ms": "Silence of a transceiver after which its place may be given to another.",
}
LIMIT_FLAGS = {"flows": "--flows", "token_lifetime_s": "--token-lifetime"}
GREATEST = {"flows": FLOWS_MAX, "peers": PEERS_MAX, "session_flows": SESSION_FLOWS_MAX}


def _limit(name: str) -> Setting[int]:
    units = {"ms": "ms", "s": "s"}
    by_ending = {"_ms": MILLISECONDS_MAX, "burst": BURST_MAX}
    most = next((most for ending, most in by_ending.items() if name.endswith(ending)), NUMBER_MAX)
    return Setting(
        f"limits.{name}",
        Whole(1, GREATEST.get(name, most)),
        LIMIT_REASONS[name],
        default=getattr(Limits(), name),
        unit="/s" if name.endswith("_per_s") else units.get(name.rpartition("_")[2], ""),
        flag=LIMIT_FLAGS.get(name),
    )


LIMITS = {name: _limit(name) for name in LIMIT_REASONS}

RELAY_SCHEMA = Schema(
    (
        *(LISTEN, TRUNK, ALLOW, CLUSTER, KEYS_FILE, KEYS, USER, RUN_DIR),
        *(COUNT, STEERING, SPIN, BUSY_POLL, OFFLOAD, LATENCY_SAMPLES),
        *LIMITS.values(),
        *(ADMIN, DRAIN_TIMEOUT, LOG_FORM),
    )
)
