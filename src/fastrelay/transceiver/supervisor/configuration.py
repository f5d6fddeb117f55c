"""A transceiver's settings from file, environment and flags, and the place of each for errors and for /debug/config.

Lives here: the way from what was read to TransceiverSettings. Must not live here: the settings that exist (schema), how
any configuration is read (fastrelay.config), what settings mean together (settings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastrelay.config.reading import Configuration, read_configuration
from fastrelay.routing.keys import KeyRing
from fastrelay.service.configuration import Places, Reading, judge
from fastrelay.service.schema import DRAIN_TIMEOUT, LOG_FORM
from fastrelay.transceiver.supervisor.schema import (
    ADMIN,
    AGENT,
    ALLOW,
    API_KEYS_FILE,
    CALL_SECONDS,
    CALLS,
    CERTIFICATE_FILE,
    CLUSTER,
    COUNT,
    DEMO,
    DTLS_ROLE,
    HTTP,
    KEY_FILE,
    KEYS,
    KEYS_FILE,
    MEMORY,
    OFFERS,
    OFFERS_BURST,
    OPEN,
    ORIGINS,
    PUBLIC_URL,
    REDIRECT,
    RELAYS,
    RUN_DIR,
    SECRET_LIFETIME,
    TRANSCEIVER_SCHEMA,
    TRUNK,
    USER,
)
from fastrelay.transceiver.supervisor.settings import CallLimits, Signalling, TransceiverSettings

PLACES = Places(TRANSCEIVER_SCHEMA)


def load_transceiver_settings(
    file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]
) -> TransceiverSettings:
    """Read everything, at start and again at each reload. ConfigError with the first few of its problems."""
    return read_transceiver(file, flags, environ).require()


def read_transceiver(
    file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]
) -> Reading[TransceiverSettings]:
    """Read everything and judge it together, without a system call beside reading the file."""
    configuration = read_configuration(TRANSCEIVER_SCHEMA, file, flags, environ)
    return judge(configuration, PLACES, (TRUNK, RELAYS, ALLOW), (KEYS, KEYS_FILE), _settings)


@contextmanager
def errors_at_their_place(settings: TransceiverSettings) -> Iterator[None]:
    """Let an error that names an option name the file and line, or the variable, that gave the option its value."""
    with PLACES.naming(settings.shown):
        yield


def _settings(configuration: Configuration, load_keys: Callable[[], KeyRing]) -> TransceiverSettings:
    workers = configuration[COUNT]
    return TransceiverSettings(
        trunk=configuration[TRUNK],
        relays=configuration[RELAYS],
        allowed=configuration[ALLOW],
        load_keys=load_keys,
        signalling=_signalling(configuration),
        cluster=configuration[CLUSTER],
        agent=configuration[AGENT],
        dtls_role=configuration[DTLS_ROLE],
        workers=workers.count,
        cpus=workers.cpus,
        limits=CallLimits(
            calls=configuration[CALLS],
            offers_per_s=configuration[OFFERS],
            offers_burst=configuration[OFFERS_BURST],
            call_s=configuration[CALL_SECONDS],
            memory_mib=configuration[MEMORY],
        ),
        user=configuration[USER],
        admin=configuration[ADMIN],
        run_dir=configuration[RUN_DIR],
        drain_timeout_s=configuration[DRAIN_TIMEOUT],
        log_form=configuration[LOG_FORM],
        shown=configuration.shown(),
    )


def _signalling(configuration: Configuration) -> Signalling:
    return Signalling(
        listen=configuration[HTTP],
        api_keys_file=configuration[API_KEYS_FILE],
        is_open=configuration[OPEN],
        allowed_origins=configuration[ORIGINS],
        public_url=configuration[PUBLIC_URL],
        redirect_to=configuration[REDIRECT],
        secret_lifetime_s=configuration[SECRET_LIFETIME],
        serves_demo=configuration[DEMO],
        certificate_file=configuration[CERTIFICATE_FILE],
        key_file=configuration[KEY_FILE],
    )
