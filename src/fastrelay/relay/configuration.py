"""A relay's settings from file, environment and flags, and the place of each for errors and for /debug/config.

Lives here: the way from what was read to RelaySettings. Must not live here: the settings that exist (schema), how any
configuration is read (fastrelay.config), what settings mean together (settings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastrelay.config.reading import Configuration, read_configuration
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.schema import (
    ADMIN,
    ALLOW,
    BUSY_POLL,
    CLUSTER,
    COUNT,
    KEYS,
    KEYS_FILE,
    LATENCY_SAMPLES,
    LIMITS,
    LISTEN,
    OFFLOAD,
    RELAY_SCHEMA,
    RUN_DIR,
    SPIN,
    STEERING,
    TRUNK,
    USER,
)
from fastrelay.relay.settings import RelaySettings
from fastrelay.routing.keys import KeyRing
from fastrelay.service.configuration import Places, Reading, judge
from fastrelay.service.schema import DRAIN_TIMEOUT, LOG_FORM

PLACES = Places(RELAY_SCHEMA)


def load_relay_settings(file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> RelaySettings:
    """Read everything, at start and again at each reload. ConfigError with the first few of its problems."""
    return read_relay(file, flags, environ).require()


def read_relay(file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> Reading[RelaySettings]:
    """Read everything and judge it together, without a system call beside reading the file."""
    configuration = read_configuration(RELAY_SCHEMA, file, flags, environ)
    return judge(configuration, PLACES, (LISTEN, TRUNK, ALLOW), (KEYS, KEYS_FILE), _settings)


@contextmanager
def errors_at_their_place(settings: RelaySettings) -> Iterator[None]:
    """Let an error that names an option name the file and line, or the variable, that gave the option its value."""
    with PLACES.naming(settings.shown):
        yield


def _settings(configuration: Configuration, load_keys: Callable[[], KeyRing]) -> RelaySettings:
    workers = configuration[COUNT]
    return RelaySettings(
        listen=configuration[LISTEN],
        trunk=configuration[TRUNK],
        allowed=configuration[ALLOW],
        load_keys=load_keys,
        cluster=configuration[CLUSTER],
        workers=workers.count,
        cpus=workers.cpus,
        steering=configuration[STEERING],
        limits=Limits(**{name: configuration[setting] for name, setting in LIMITS.items()}),
        busy_poll_us=configuration[BUSY_POLL],
        is_spinning=configuration[SPIN],
        is_offloading=configuration[OFFLOAD],
        samples_latency=configuration[LATENCY_SAMPLES],
        user=configuration[USER],
        admin=configuration[ADMIN],
        run_dir=configuration[RUN_DIR],
        drain_timeout_s=configuration[DRAIN_TIMEOUT],
        log_form=configuration[LOG_FORM],
        shown=configuration.shown(),
    )
