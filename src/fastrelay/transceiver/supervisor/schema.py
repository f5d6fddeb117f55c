"""Every setting of a transceiver: what it takes, its default, the names it goes by, and in a line what it is for.

Lives here: the declarations. Must not live here: how settings are read (fastrelay.config), what they mean together
(configuration, settings).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from fastrelay.config.addresses import ADDRESS, MACHINE_ADDRESS, NETWORK, Endpoint, Network
from fastrelay.config.kinds import Choice, FilePath, Listing, OrNone, Switch, Text, Whole
from fastrelay.config.schema import Schema, Setting
from fastrelay.config.workers import Workers, WorkersKind
from fastrelay.errors import ConfigError
from fastrelay.http.settings import SECRET_LIFETIME_S, SECRET_LIFETIME_S_MAX, SECRET_LIFETIME_S_MIN
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
from fastrelay.transceiver.supervisor.settings import ALLOWED_MAX, RELAYS_MAX, CallLimits, Signalling
from fastrelay.transceiver.worker.plan import Role

ORIGINS_MAX = 64
CALLS_MAX = 100_000
OFFERS_MAX = 100_000
CALL_MAX_S = 7 * 86_400
MEMORY_MAX_MIB = 1 << 20


def _origin(text: str) -> str:
    """As a browser writes it in its Origin header (RFC 6454 §7)."""
    if text == "*":
        return text
    if text.rstrip("/") != text or not _is_base_url(text):
        raise ConfigError("origin", f"{text!r} is no origin, as https://shop.example or http://localhost:3000")
    return text


def _base_url(text: str) -> str:
    if not _is_base_url(text):
        raise ConfigError("url", f"{text!r} is no base URL, as https://voice-2.example")
    return text.rstrip("/")


def _is_base_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    is_bare = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    return has_host and is_bare and parts.scheme in ("http", "https") and text.isprintable() and " " not in text


def _agent(text: str) -> str:
    """The form alone. What it names is looked for by the workers, where its module is imported."""
    module, colon, name = text.partition(":")
    parts = [*module.split("."), *(name.split(".") if colon else ())]
    if not all(part.isidentifier() for part in parts):
        raise ConfigError("agent", f"{text!r} is neither module:object, as shop.voice:assistant, nor an agent's name")
    return text


ORIGIN: Text[str] = Text(_origin, "an origin, as https://shop.example, or *", str)
BASE_URL: Text[str] = Text(_base_url, "a base URL, as https://voice-2.example", str)
AGENT_NAME: Text[str] = Text(_agent, "module:object, or one of echo, recorder and tone", str)

TRUNK: Setting[Endpoint] = Setting(
    "transceiver.trunk",
    MACHINE_ADDRESS,
    "This machine's address as relays reach it; it goes into route tokens. Without a port the kernel chooses each "
    "worker's; with one, each takes the first free of 64 from there.",
    flag="--trunk",
    is_required=True,
)
RELAYS: Setting[tuple[Endpoint, ...]] = Setting(
    "transceiver.relays",
    Listing(ADDRESS, "addresses", 1, RELAYS_MAX),
    "Public addresses of the relays that clients are to send to, the only ones that answers contain.",
    flag="--relay",
    is_required=True,
)
ALLOW: Setting[tuple[Network, ...]] = Setting(
    "transceiver.allow",
    Listing(NETWORK, "networks", 1, ALLOWED_MAX),
    "Networks that relays speak from. Trunk datagrams from elsewhere are refused.",
    flag="--allow",
    is_required=True,
)
CLUSTER = cluster_of("transceiver", "Of the tokens it mints: relays refuse those of other clusters.")
KEYS_FILE = keys_file_of("transceiver")
KEYS = keys_of("transceiver")
AGENT: Setting[str] = Setting(
    "transceiver.agent",
    AGENT_NAME,
    "What talks on the calls: a function of yours, found as Python imports it, or one that is shipped.",
    default="fastrelay.agent.echo:echo",
    flag="--agent",
)
DTLS_ROLE: Setting[Role] = Setting(
    "transceiver.dtls_role",
    Choice[Role](("passive", "active")),
    "Who begins the DTLS handshake where the client leaves the choice: passive waits for the client, active begins.",
    default="passive",
    flag="--dtls-role",
)
USER = user_of("transceiver")
RUN_DIR = run_dir_of(
    "transceiver", "Folder where operators' commands find this transceiver, and its workers each other."
)

HTTP: Setting[Endpoint] = Setting(
    "http.listen",
    ADDRESS,
    "Address for signalling: offers in, answers out. All workers share it.",
    default=Signalling().listen,
    flag="--http",
)
API_KEYS_FILE: Setting[Path | None] = Setting(
    "http.api_keys_file",
    OrNone(FilePath("the name of a file with API keys")),
    "File with a key a line, which only its owner may read: who has one may call, and mint secrets for clients.",
    flag="--api-keys",
)
OPEN: Setting[bool] = Setting(
    "http.open",
    Switch(),
    "Let anyone call who reaches the address. On loopback that is so without API keys.",
    default=False,
    flag="--open",
)
ORIGINS: Setting[tuple[str, ...] | None] = Setting(
    "http.allowed_origins",
    OrNone(Listing(ORIGIN, "origins", 1, ORIGINS_MAX)),
    "Pages of other origins that may call from a browser; * for all. Without it: all, where calls take a key; none, "
    "where they are open: any page could call through the browser of someone who is let in.",
    flag="--allow-origin",
)
PUBLIC_URL: Setting[str | None] = Setting(
    "http.public_url",
    OrNone(BASE_URL),
    "How clients reach this transceiver's signalling, where it has a name of its own behind a balancer.",
)
SECRET_LIFETIME: Setting[int] = Setting(
    "http.secret_lifetime_s",
    Whole(SECRET_LIFETIME_S_MIN, SECRET_LIFETIME_S_MAX),
    "How long a client secret is good for, where its maker does not say.",
    default=SECRET_LIFETIME_S,
    unit="s",
)
REDIRECT: Setting[str | None] = Setting(
    "http.redirect_to",
    OrNone(BASE_URL),
    "Where clients are sent while this transceiver drains. Without it they get 503 and may try again.",
)
DEMO: Setting[bool] = Setting("http.demo", Switch(), "Serve the demo page at /.", default=False, flag="--demo")
CERTIFICATE_FILE: Setting[Path | None] = Setting(
    "http.certificate_file",
    OrNone(FilePath("the name of a PEM file")),
    "Certificate with its chain, for HTTPS. Without it signalling is HTTP, for a proxy in front or for this machine.",
)
KEY_FILE: Setting[Path | None] = Setting(
    "http.key_file", OrNone(FilePath("the name of a PEM file")), "Its private key, which only its owner may read."
)

COUNT: Setting[Workers] = Setting(
    "workers.count",
    WorkersKind(),
    "Worker processes, each on a CPU of its own: auto for one on every CPU it may use, a number, or CPUs as 0-3,6.",
    default=Workers(),
    flag="--workers",
)

CALLS: Setting[int] = Setting(
    "limits.calls",
    Whole(1, CALLS_MAX),
    "Calls that a worker takes at a time.",
    default=CallLimits().calls,
    flag="--calls",
)
OFFERS: Setting[int] = Setting(
    "limits.offers_per_s",
    Whole(1, OFFERS_MAX),
    "Offers that a worker takes, each about 2 ms of handshake.",
    default=CallLimits().offers_per_s,
    unit="/s",
)
OFFERS_BURST: Setting[int] = Setting(
    "limits.offers_burst", Whole(1, OFFERS_MAX), "The same at once.", default=CallLimits().offers_burst
)
CALL_SECONDS: Setting[int] = Setting(
    "limits.call_s",
    Whole(1, CALL_MAX_S),
    "The longest call. Keep it below the relays' token_lifetime_s.",
    default=CallLimits().call_s,
    unit="s",
)
MEMORY: Setting[int] = Setting(
    "limits.memory_mib",
    Whole(0, MEMORY_MAX_MIB),
    "Memory above which a worker is replaced, while the calls it has go on. 0: not watched.",
    default=CallLimits().memory_mib,
    unit="MiB",
)

ADMIN = admin_of(
    "Address of the admin port: health, metrics, calls. Without one they are served inside the run directory alone."
)

TRANSCEIVER_SCHEMA = Schema(
    (
        *(TRUNK, RELAYS, ALLOW, CLUSTER, KEYS_FILE, KEYS, AGENT, DTLS_ROLE, USER, RUN_DIR),
        *(HTTP, API_KEYS_FILE, OPEN, SECRET_LIFETIME, ORIGINS, PUBLIC_URL, REDIRECT, DEMO, CERTIFICATE_FILE, KEY_FILE),
        COUNT,
        *(CALLS, OFFERS, OFFERS_BURST, CALL_SECONDS, MEMORY),
        *(ADMIN, DRAIN_TIMEOUT, LOG_FORM),
    )
)
