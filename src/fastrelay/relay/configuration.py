"""A relay's settings from file, environment and flags, and the place of each for errors and for /debug/config.

Lives here: the way from what was read to RelaySettings. Must not live here: the settings that exist (schema), how any
configuration is read (fastrelay.config), what settings mean together (settings).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastrelay.config.reading import Configuration, Level, at_place, read_configuration
from fastrelay.errors import ConfigError
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.schema import (
    ADMIN,
    ALLOW,
    BUSY_POLL,
    CLUSTER,
    COUNT,
    DRAIN_TIMEOUT,
    KEYS,
    KEYS_FILE,
    LATENCY_SAMPLES,
    LIMITS,
    LISTEN,
    LOG_FORM,
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

PROBLEMS_SHOWN = 4
BY_FLAG = {setting.flag: setting for setting in RELAY_SCHEMA.settings if setting.flag is not None}


@dataclass(frozen=True, slots=True)
class RelayReading:
    """What was read. There are settings exactly when there are no problems."""

    configuration: Configuration
    settings: RelaySettings | None
    problems: tuple[ConfigError, ...]
    keys_problem: ConfigError | None
    """No key ring is named. A relay needs one; a check of the file alone does not."""


def load_relay_settings(file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> RelaySettings:
    """Read everything, at start and again at each reload. ConfigError with the first few of its problems."""
    reading = read_relay(file, flags, environ)
    problems = [*reading.problems, *([reading.keys_problem] if reading.keys_problem else [])]
    if reading.settings is None or problems:
        raise joined(problems, reading.configuration.file)
    return reading.settings


def read_relay(file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> RelayReading:
    """Read everything and judge it together, without a system call beside reading the file."""
    configuration = read_configuration(RELAY_SCHEMA, file, flags, environ)
    problems = list(configuration.problems)
    load_keys, keys_problem = _keys(configuration)
    settings = None
    if all(configuration.found(setting).level is not Level.DEFAULT for setting in (LISTEN, TRUNK, ALLOW)):
        try:
            settings = _settings(configuration, load_keys)
        except ConfigError as error:
            # a setting that was refused has its default here, which nobody asked for
            if _name_of(error) not in configuration.refused:
                problems.append(named_at_its_place(error, configuration.shown()))
    return RelayReading(configuration, None if problems else settings, tuple(problems), keys_problem)


def joined(problems: list[ConfigError], file: str) -> ConfigError:
    """The first few as one error, a line each."""
    first, *others = problems
    lines = [first.problem, *map(str, others[: PROBLEMS_SHOWN - 1])]
    if len(problems) > PROBLEMS_SHOWN:
        where = f"fastrelay check {file}" if file else "only the first are shown"
        lines.append(f"and {len(problems) - PROBLEMS_SHOWN} more ({where})")
    return ConfigError(first.key, "\n".join(lines))


@contextmanager
def errors_at_their_place(settings: RelaySettings) -> Iterator[None]:
    """Let an error that names an option name the file and line, or the variable, that gave the option its value."""
    try:
        yield
    except ConfigError as error:
        raise named_at_its_place(error, settings.shown) from error


def named_at_its_place(error: ConfigError, shown: Mapping[str, object]) -> ConfigError:
    """The same error, with the place of the value in place of the option. `shown` is that of RelaySettings."""
    setting = BY_FLAG.get(error.key)
    origin = shown.get(setting.name) if setting is not None else None
    if setting is None or not isinstance(origin, Mapping):
        return error
    return at_place(setting, str(origin["from"]), error.problem)


def _name_of(error: ConfigError) -> str:
    setting = BY_FLAG.get(error.key)
    return setting.name if setting is not None else error.key


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


def _keys(configuration: Configuration) -> tuple[Callable[[], KeyRing], ConfigError | None]:
    """How to read the ring. The secret stays inside the function, so that no repr of settings can show it."""
    text, path = configuration.found(KEYS), configuration.found(KEYS_FILE)
    named = configuration[KEYS_FILE]
    if text.level is path.level is Level.ENVIRONMENT:
        return _refuse(ConfigError(text.place, f"set together with {path.place}; leave one out"))
    if text.level > path.level:
        return lambda: KeyRing.parse(str(text.value), source=text.place), None
    if named is not None:
        return lambda: KeyRing.load(named), None
    error = configuration.missing(KEYS_FILE)
    is_told = not configuration.is_whole or configuration.refused & {KEYS.name, KEYS_FILE.name}
    load, problem = _refuse(ConfigError(error.key, f"{error.problem}; make one: fastrelay keys new keys.json"))
    return load, None if is_told else problem


def _refuse(problem: ConfigError) -> tuple[Callable[[], KeyRing], ConfigError]:
    def load() -> KeyRing:
        raise problem

    return load, problem
