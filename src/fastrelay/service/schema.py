"""Settings that a relay and a transceiver have alike.

Lives here: their declarations; what stands in a section of the process's own name is made for that section. Must not
live here: settings of one of the two, reading them (configuration).
"""

from __future__ import annotations

from pathlib import Path

from fastrelay.config.addresses import ADDRESS, Endpoint
from fastrelay.config.kinds import Choice, FilePath, OrNone, Text, Whole
from fastrelay.config.schema import Setting
from fastrelay.observe.logs import FORMS
from fastrelay.routing.keys import ENVIRONMENT, ENVIRONMENT_FILE

DRAIN_TIMEOUT_MAX_S = 7 * 86_400.0
CLUSTER_MAX = 0xFFFF
NAME: Text[str] = Text(str, "a name", str)


def keys_of(section: str) -> Setting[str]:
    return Setting(
        f"{section}.keys",
        Text(str, "the content of a key ring file", str),
        "The key ring itself, from the environment alone.",
        other_variables=(ENVIRONMENT,),
        is_secret=True,
    )


def keys_file_of(section: str) -> Setting[Path | None]:
    return Setting(
        f"{section}.keys_file",
        OrNone(FilePath("the name of a key ring file")),
        "File with the key ring, which only its owner may read.",
        flag="--keys",
        other_variables=(ENVIRONMENT_FILE,),
    )


def cluster_of(section: str, reason: str) -> Setting[int]:
    return Setting(f"{section}.cluster", Whole(0, CLUSTER_MAX), reason, default=0, flag="--cluster")


def user_of(section: str) -> Setting[str | None]:
    return Setting(
        f"{section}.user",
        OrNone(NAME),
        "Become this user once sockets are open. The key file must be theirs.",
        flag="--user",
    )


def run_dir_of(section: str, reason: str) -> Setting[Path | None]:
    return Setting(f"{section}.run_dir", OrNone(FilePath("the name of a folder")), reason, flag="--run-dir")


def admin_of(reason: str) -> Setting[Endpoint | None]:
    return Setting("admin.listen", OrNone(ADDRESS), reason, flag="--admin")


DRAIN_TIMEOUT: Setting[int] = Setting(
    "drain.timeout_s",
    Whole(0, int(DRAIN_TIMEOUT_MAX_S)),
    "How long draining waits for the last calls to end.",
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
