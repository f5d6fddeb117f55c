"""A new release in place of the running one: first rehearsed beside it, then by exec in its place.

Lives here: the command that starts a release, the rehearsal, the exec. Must not live here: what travels (handover).

A release that cannot start shows it in the rehearsal, where it has nothing to break: it reads the same configuration
and keys, runs a loop on sockets and pages of its own, and says how its pages compare with ours.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastrelay._ext.relay_core import flow_page_bytes
from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.errors import ConfigError
from fastrelay.io.sockets import open_listener, open_trunk
from fastrelay.relay.handover import EXEC_VARIABLE, read_state, write_state
from fastrelay.relay.observer import NICENESS
from fastrelay.relay.reload import fixed_values
from fastrelay.relay.settings import RelaySettings

LOG = logging.getLogger(__name__)

REHEARSAL_VARIABLE: Final = "FASTRELAY_REHEARSAL"
PATIENCE_S: Final = 30.0
OUTPUT_BYTES_MAX: Final = 4096
REHEARSED_MS: Final = 20


def own_command() -> list[str]:
    """How to start what is installed now as we were started: a script is run again by its own first line, which may
    name another interpreter since."""
    if sys.argv and os.access(sys.argv[0], os.X_OK) and os.path.isfile(sys.argv[0]):  # noqa: PTH113
        return sys.argv.copy()
    return sys.orig_argv.copy()


# --- in the running release --------------------------------------------------------


class Rehearsal:
    """The new release trying itself out, beside us."""

    def __init__(self, command: Sequence[str], state: Mapping[str, Any]) -> None:
        self._output = os.fdopen(os.memfd_create("fastrelay-rehearsal", os.MFD_CLOEXEC), "w+b")
        descriptor = write_state(state)
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=[descriptor],
                env={**os.environ, REHEARSAL_VARIABLE: "1", EXEC_VARIABLE: str(descriptor), "NOTIFY_SOCKET": ""},
                start_new_session=True,
            )
        except OSError as error:
            self._output.close()
            raise ConfigError("upgrade", f"cannot start {command[0]}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        self._deadline_s = time.monotonic() + PATIENCE_S

    def outcome(self) -> Mapping[str, Any] | None:
        """What the new release says of itself; None while it rehearses. ConfigError when it cannot serve."""
        if self._process.poll() is None:
            if time.monotonic() < self._deadline_s:
                return None
            self.close()
            raise ConfigError("upgrade", f"the new release did not finish its rehearsal in {PATIENCE_S:g} s")
        self._output.seek(0)
        text = self._output.read(OUTPUT_BYTES_MAX).decode(errors="replace").strip()
        code = self._process.returncode
        self.close()
        last = text.splitlines()[-1] if text else "no word"
        if code != 0:
            raise ConfigError("upgrade", f"the new release does not start (exit code {code}): {last}")
        try:
            said = json.loads(last)
        except ValueError:
            said = None
        if not isinstance(said, dict) or "release" not in said:
            raise ConfigError("upgrade", f"what would start does not rehearse; it said: {last}")
        return said

    def close(self) -> None:
        """End what still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()


def become(command: Sequence[str], state: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Exec the new release with these descriptors kept. Returns only by ConfigError, and then nothing has changed."""
    handed = write_state(state)
    kept = [*descriptors, handed]
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor in kept:
        os.set_inheritable(descriptor, True)
    try:
        os.execvpe(command[0], list(command), {**os.environ, EXEC_VARIABLE: str(handed)})  # noqa: S606
    except OSError as error:
        for descriptor in kept:
            os.set_inheritable(descriptor, False)
        os.close(handed)
        raise ConfigError("upgrade", f"cannot start {command[0]}: {error.strerror}") from error


# --- in the new release ------------------------------------------------------------


def is_rehearsal(environ: Mapping[str, str]) -> bool:
    return REHEARSAL_VARIABLE in environ


def rehearse(settings: RelaySettings, release: str, environ: Mapping[str, str], say: Callable[[str], object]) -> None:
    """Try everything a start needs that can be tried beside a running relay. ConfigError when it would not serve."""
    state = read_state(int(environ[EXEC_VARIABLE]))
    for option, value in fixed_values(settings).items():
        if state["fixed"].get(option, value) != value:
            raise ConfigError(option, "cannot change by an upgrade; restart the relay")
    ring = settings.load_keys()
    ring.minting_key(time.time())
    listener, trunk = open_listener("127.0.0.1", 0), open_trunk("127.0.0.1", 0)
    with listener.socket, trunk.socket:
        loop = RelayLoop(
            ring.entries(),
            settings.allowed,
            settings.cluster,
            listener.locals(0),
            settings.limits,
            time.time_ns() // 1000,
            listeners=[(listener.socket.fileno(), listener.socket.family, listener.ip, listener.port, False, True)],
            trunk=(trunk.socket.fileno(), trunk.socket.family),
        )
        loop.run(REHEARSED_MS)
    tables = [each["resources"] for each in state["workers"]]
    sizes = {each["capacity"]: each["flow_page_bytes"] for each in tables}
    if any(capacity != settings.limits.flows for capacity in sizes):
        raise ConfigError("--flows", f"the running tables hold {next(iter(sizes))}; another size needs a restart")
    keeps_flows = all(flow_page_bytes(capacity) == size for capacity, size in sizes.items())
    say(json.dumps({"release": release, "keeps_flows": keeps_flows}))
