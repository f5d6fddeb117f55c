"""Every setting of a relay: what it takes, its default, the names it goes by, and in a line what it is for.

Lives here: the declarations. Must not live here: how settings are read (fastrelay.config), or what they mean together
(configuration, settings).
"""

from __future__ import annotations

from fastrelay.config.addresses import ADDRESS, MACHINE_ADDRESS, NETWORK, Endpoint, Network
from fastrelay.config.kinds import Choice, Listing, Switch, Whole
from fastrelay.config.schema import Schema, Setting
from fastrelay.config.workers import Workers, WorkersKind
from fastrelay.relay.dataplane.limits import BURST_MAX, MILLISECONDS_MAX, NUMBER_MAX, SESSION_FLOWS_MAX, Limits
from fastrelay.relay.settings import ALLOWED_MAX, LISTENERS_MAX, Steering
from fastrelay.service.schema import (
    DRAIN_TIMEOUT,
    LOG_FORM,
    admin_of,
    cluster_of,
    keys_file_of,
    keys_of,
    run_dir_of,
    user_of,
)

FLOWS_MAX = (1 << 24) - 2
PEERS_MAX = 1024
BUSY_POLL_MAX_US = 1_000_000


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
    MACHINE_ADDRESS,
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
CLUSTER = cluster_of("relay", "Refuse the tokens of other clusters.")
KEYS = keys_of("relay")
KEYS_FILE = keys_file_of("relay")
USER = user_of("relay")
RUN_DIR = run_dir_of(
    "relay",
    "Folder where operators' commands and a restarted supervisor find this relay. Without one, workers end with it.",
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
ADMIN = admin_of(
    "Address of the admin port: health, metrics, flows. Without one they are served inside the run directory alone."
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
