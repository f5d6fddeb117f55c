"""What the machine lends a service: CPUs to run on, and a user to become.

Lives here: choosing and changing them. Must not live here: what an operator may ask for (settings).
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Sequence

from fastrelay.config.workers import WORKERS_MAX
from fastrelay.errors import ConfigError
from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)


def choose_cpus(named: Sequence[int], count: int | None) -> list[int]:
    """A CPU for each worker: those that are named, else the process's own in turn, for so many; None: one each."""
    available = sorted(os.sched_getaffinity(0))
    missing = [cpu for cpu in named if cpu not in available]
    if missing:
        raise ConfigError("--workers", f"{missing[0]} is not among this process's CPUs {','.join(map(str, available))}")
    if named:
        return list(named)
    count = count or min(len(available), WORKERS_MAX)
    if count > len(available):
        LOG.warning("more workers than CPUs: they will wait for each other", extra=facts(cpus=len(available)))
    return [available[index % len(available)] for index in range(count)]


def account_of(user: str | None) -> tuple[int, int] | None:
    """User and group id of whom the process becomes; None when it stays who it is."""
    if user is None:
        return None
    account = _look_up(user)
    return None if account.pw_uid == os.geteuid() else (account.pw_uid, account.pw_gid)


def _look_up(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise ConfigError("--user", f"there is no user {user!r}") from None


def drop_privileges(user: str) -> None:
    """Become another user for good, with that user's groups alone."""
    account = _look_up(user)
    if account.pw_uid == os.geteuid():
        return
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    except PermissionError as error:
        raise ConfigError("--user", f"cannot become {user!r}: only root may") from error
