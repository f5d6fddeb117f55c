"""What `fastrelay relay` refuses: one clear line that names the option, exit code 2, and nothing left open."""

from __future__ import annotations

import logging
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastrelay.cli.main import run
from tests.live.namespace import own_network
from tests.live.process import RelayProcess, options

BASE = {"--listen": "127.0.0.1:0", "--trunk": "127.0.0.1", "--keys": "ring.json", "--allow": "127.0.0.0/8"}


def refusal(capsys: pytest.CaptureFixture[str], *extra: str, **changed: str | None) -> str:
    """Run the command in this process, as far as it gets before it would fork."""
    chosen = BASE | {f"--{name}": value for name, value in changed.items()}
    words = [word for name, value in chosen.items() if value is not None for word in (name, value)]
    assert run(["relay", *words, *extra]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.fixture(autouse=True)
def _in_its_folder(ring_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ring_file.parent)
    monkeypatch.delenv("FASTRELAY_KEYS", raising=False)
    monkeypatch.delenv("FASTRELAY_KEYS_FILE", raising=False)
    logger = logging.getLogger("fastrelay")
    kept = (logger.handlers[:], logger.level, logger.propagate)
    yield
    # the command runs in this process and configures its log
    logger.handlers[:], logger.level, logger.propagate = kept


@pytest.mark.parametrize(
    ("changed", "extra", "line"),
    [
        pytest.param(
            {"listen": "example.org:3478"}, [], "--listen: 'example.org:3478' is not an IP address", id="name"
        ),
        pytest.param({"listen": "127.0.0.1"}, [], "--listen: '127.0.0.1' has no port", id="no port"),
        pytest.param({"listen": "127.0.0.1:70000"}, [], "--listen: '127.0.0.1:70000' has a port", id="port"),
        pytest.param({"listen": "192.0.2.1:3478"}, [], "cannot open 192.0.2.1:3478: Cannot assign", id="not ours"),
        pytest.param({"listen": "127.0.0.1:9"}, ["--listen", "127.0.0.1:9"], "9 is given twice", id="twice"),
        pytest.param(
            {},
            [w for _ in range(16) for w in ("--listen", "127.0.0.1:0")],
            "--listen: 17 addresses, must",
            id="listeners",
        ),
        pytest.param(
            {"trunk": "127.0.0.1:65535"}, ["--workers", "2"], "--trunk: 2 workers from port", id="trunk ports"
        ),
        pytest.param({"trunk": "here"}, [], "--trunk: 'here' is not an IP address", id="trunk"),
        pytest.param({"allow": "10.0.0.0/33"}, [], "--allow: '10.0.0.0/33' does not appear", id="not CIDR"),
        pytest.param({"allow": "10.1.0.0/8"}, [], "--allow: 10.1.0.0/8 has host bits set", id="host bits"),
        pytest.param({"allow": "::ffff:10.0.0.0/104"}, [], "--allow: '::ffff:10.0.0.0/104' is an IPv4", id="mapped"),
        pytest.param({"allow": "fd00::/8"}, [], "--allow: fd00::/8 cannot be reached from --trunk", id="family"),
        pytest.param(
            {},
            [w for i in range(64) for w in ("--allow", f"10.{i}.0.0/16")],
            "--allow: 65 networks, must be",
            id="networks",
        ),
        pytest.param({"keys": "absent.json"}, [], "absent.json: No such file", id="no keys"),
        pytest.param({"keys": None}, [], "--keys: missing; give it, FASTRELAY_KEYS_FILE or", id="keys not given"),
        pytest.param({}, ["--workers", "one"], "--workers: 'one', must be auto, a number", id="workers"),
        pytest.param({}, ["--workers", "9999-9999"], "--workers: 9999 is not among this process's CPUs", id="no CPU"),
        pytest.param({}, ["--workers", "0,0"], "--workers: '0,0', in which CPU 0 is there twice", id="CPU twice"),
        pytest.param({}, ["--workers", "0"], "--workers: 0, must be 1 to 256", id="no workers"),
        pytest.param({}, ["--flows", "4294967296"], "--flows: ", id="flows"),
        pytest.param({}, ["--cluster", "65536"], "--cluster: 65536, must be 0 to 65535", id="cluster"),
        pytest.param({}, ["--busy-poll", "-1"], "--busy-poll: -1, must be 0 to 1000000", id="busy poll"),
        pytest.param({}, ["--log", "xml"], "--log: 'xml', must be console or json", id="log"),
        pytest.param({}, ["--steering", "x"], "--steering: 'x', must be auto, cpu, hash or kernel", id="steering"),
        pytest.param({}, ["--admin", "127.0.0.1"], "--admin: '127.0.0.1' has no port", id="admin"),
        pytest.param({}, ["--drain-timeout", "-1"], "--drain-timeout: -1, must be 0 to 604800", id="drain timeout"),
        pytest.param({}, ["--config", "absent.toml"], "absent.toml: No such file", id="no file"),
        pytest.param({}, ["--user", "no-such-user"], "--user: there is no user 'no-such-user'", id="user"),
        pytest.param({"listen": None}, [], "--listen: missing; give it, FASTRELAY_RELAY__LISTEN", id="listen missing"),
        pytest.param({"trunk": None}, [], "--trunk: missing; give it, FASTRELAY_RELAY__TRUNK", id="trunk missing"),
        pytest.param({"allow": None}, [], "--allow: missing; give it, FASTRELAY_RELAY__ALLOW", id="allow missing"),
    ],
)
def test_unusable_option_is_named_in_one_line(
    changed: dict[str, str | None], extra: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = refusal(capsys, *extra, **changed)
    problems = [printed_line for printed_line in printed.splitlines() if line in printed_line]
    assert len(problems) == 1, printed
    assert "Traceback" not in printed


def test_keys_that_others_may_read_are_refused(ring_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring_file.chmod(0o640)
    assert "mode 0640 lets others at the keys" in refusal(capsys)


@pytest.mark.parametrize("option", ["--listen", "--trunk"])
def test_address_in_use_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        printed = refusal(capsys, **{option[2:]: taken})
    assert f"{option}: cannot open {taken}: Address already in use" in printed


def test_address_of_another_relay_is_refused(ring_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SO_REUSEPORT alone would let a second relay take half of the first one's clients."""
    with RelayProcess(*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")) as relay:
        taken = f"127.0.0.1:{relay.clients[0][1]}"
        assert f"--listen: cannot open {taken}: Address already in use" in refusal(capsys, listen=taken)


def test_host_with_too_many_addresses_is_told_to_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Each wildcard listener reaches every address of the host."""
    with own_network(*(f"192.0.2.{last}/32" for last in range(40))):
        printed = refusal(capsys, "--listen", "0.0.0.0:0", listen="0.0.0.0:0")
    assert "--listen: reaches 82 local addresses, at most 64; name them" in printed


@contextmanager
def unprivileged() -> Iterator[None]:
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("listen", "extra", "line"),
    [
        pytest.param("127.0.0.1:443", [], "--listen: cannot open 127.0.0.1:443: Permission denied", id="low port"),
        pytest.param("127.0.0.1:0", ["--user", "daemon"], "--user: cannot become 'daemon': only root may", id="user"),
    ],
)
def test_what_needs_a_privilege_is_refused_without(
    listen: str, extra: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with own_network(), unprivileged():
        assert line in refusal(capsys, *extra, listen=listen)
