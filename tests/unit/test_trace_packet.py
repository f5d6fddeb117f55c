"""`fastrelay trace --packet`: the real packet path's decision, and what it rests on."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fastrelay.cli.main import run
from fastrelay.cli.packet import parse_hex
from fastrelay.errors import ConfigError
from fastrelay.observe.advice import ADVICE, advice_on
from fastrelay.observe.packet import Circumstances, explain
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.verdict import Verdict
from tests.dataplane import packets
from tests.dataplane.packets import ALICE, ALLOWED, CLUSTER, OUTSIDE, RING, T1, T2, UNIX_S, check, ticket

ROOT = Path(__file__).parents[2]
HERE = Circumstances(RING, ALLOWED, UNIX_S, CLUSTER)
SOURCE = (ALICE.ip, ALICE.port)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def trace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Outcome]:
    monkeypatch.chdir(tmp_path)
    for name in ("FASTRELAY_AT", "FASTRELAY_KEYS"):
        monkeypatch.delenv(name, raising=False)
    RING.save("ring.json")
    monkeypatch.setenv("FASTRELAY_KEYS_FILE", "ring.json")

    def run_trace(packet: bytes, *arguments: str) -> Outcome:
        code = run(["trace", "--packet", packet.hex(), "--when", str(UNIX_S), *arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run_trace


@pytest.mark.parametrize(
    ("packet", "flow_to", "verdict", "to"),
    [
        pytest.param(check(ticket()), None, "UP_ADMITTED", T1, id="first check"),
        pytest.param(check(ticket()), T1, "UP_STUN", T1, id="check of a known client"),
        pytest.param(check(ticket()), T2, "UP_REPOINTED", T1, id="check that moves a flow"),
        pytest.param(packets.DTLS, None, "UNKNOWN_CLIENT", None, id="dtls of a stranger"),
        pytest.param(packets.DTLS, T1, "UP_DTLS", T1, id="dtls of a known client"),
        pytest.param(packets.SRTP, packets.T6, "UP_SRTP", packets.T6, id="to an ipv6 transceiver"),
        pytest.param(packets.JUNK, None, "NOT_WEBRTC", None, id="junk"),
        pytest.param(b"", None, "EMPTY", None, id="nothing"),
        pytest.param(b"\x80" * 2049, None, "OVERSIZE", None, id="oversize"),
        pytest.param(packets.RESPONSE, None, "STUN_NOT_A_CHECK", None, id="response"),
        pytest.param(check(ticket(), password="wrong"), None, "STUN_BAD_INTEGRITY", None, id="wrong password"),
        pytest.param(check(ticket(to=OUTSIDE)), None, "TOKEN_NOT_ALLOWED", None, id="outside the networks"),
        pytest.param(check(ticket(cluster=8)), None, "TOKEN_FOREIGN_CLUSTER", None, id="another cluster"),
        pytest.param(check(ticket(key=packets.UNKNOWN)), None, "TOKEN_UNKNOWN_KEY", None, id="unknown key"),
        pytest.param(check(ticket(key=packets.RETIRED)), None, "TOKEN_RETIRED_KEY", None, id="retired key"),
        pytest.param(check(ticket(key=packets.STRANGE)), None, "TOKEN_FORGED", None, id="forged"),
        pytest.param(check(ticket(minted_at_s=UNIX_S - 86_401)), None, "TOKEN_EXPIRED", None, id="expired"),
        pytest.param(check(ticket(minted_at_s=UNIX_S + 61)), None, "TOKEN_NOT_YET", None, id="not yet"),
        pytest.param(check(ticket(), username="short:abcd"), None, "TOKEN_MALFORMED", None, id="no token"),
    ],
)
def test_the_verdict_is_the_packet_paths_own(
    packet: bytes, flow_to: tuple[str, int] | None, verdict: str, to: tuple[str, int] | None
) -> None:
    found = explain(packet, SOURCE, HERE, flow_to)
    assert (found.verdict.name, found.to, found.is_forwarded) == (verdict, to, to is not None)
    assert (found.datagram_bytes > len(packet)) is (to is not None)
    assert found.flows_after == int(flow_to is not None or to is not None)


@pytest.mark.parametrize(
    ("packet", "fact"),
    [
        (check(ticket()), ("integrity", "matches the token's password")),
        (check(ticket()), ("transceiver", "10.0.0.1:4000, within 10.0.0.0/8")),
        (check(ticket()), ("minted", "2023-11-14T22:13:20.000Z, 0 s ago")),
        (check(ticket(), password="wrong"), ("integrity", "does not match the token's password")),
        (check(ticket(to=OUTSIDE)), ("transceiver", "172.16.0.1:4000, outside the allowed networks")),
        (check(ticket(cluster=8)), ("cluster", "8, and this relay is of 7")),
        (check(ticket(key=packets.UNKNOWN)), ("key", "9, which is not in the key ring")),
        (check(ticket(key=packets.RETIRED)), ("key", f"0 ({packets.RETIRED.fingerprint}), which has ended")),
        (check(ticket(key=packets.STRANGE)), ("seal", "does not open with its key")),
        (
            check(ticket(minted_at_s=UNIX_S - 86_401)),
            ("minted", "2023-11-13T22:13:19.000Z, 86401 s ago, which is older than the token lifetime of 86400 s"),
        ),
        (
            check(ticket(minted_at_s=UNIX_S + 61)),
            ("minted", "2023-11-14T22:14:21.000Z, 61 s ahead: beyond the clock skew of 60 s"),
        ),
        (
            check(ticket(), username="short:abcd"),
            ("token", "'short': wrong length, alphabet or version, or an address in a form that is never minted"),
        ),
    ],
)
def test_what_the_verdict_rests_on_is_told(packet: bytes, fact: tuple[str, str]) -> None:
    assert fact in explain(packet, SOURCE, HERE, None).token


def test_limits_of_the_relay_count() -> None:
    short = Circumstances(RING, ALLOWED, UNIX_S + 11, CLUSTER, Limits(token_lifetime_s=10))
    assert explain(check(ticket()), SOURCE, short, None).verdict is Verdict.TOKEN_EXPIRED


def test_a_source_that_cannot_be_answered_is_refused() -> None:
    assert explain(check(ticket()), ("224.0.0.1", 1), HERE, None).verdict is Verdict.BAD_SOURCE


def test_every_verdict_has_the_advice_of_the_page() -> None:
    page = (ROOT / "docs" / "counters.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.+) \|$", page, re.MULTILINE)
    assert dict(rows) == ADVICE


@pytest.mark.parametrize("verdict", Verdict, ids=lambda verdict: verdict.name)
def test_advice_stands_by_itself(verdict: Verdict) -> None:
    advice = advice_on(verdict.name)
    assert advice
    assert "*" not in advice
    assert not re.search(r"^The same\.|as for", advice)


def test_a_verdict_of_tomorrow_has_no_advice() -> None:
    assert advice_on("OF_TOMORROW") == ""


def test_the_command_explains(trace: Callable[..., Outcome]) -> None:
    packet = check(ticket())
    told = trace(packet, "--from", "192.0.2.1:50000", "--allow", "10.0.0.0/8", "--cluster", "7")
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == f"packet     STUN, {len(packet)} bytes"
    assert lines[1].split(maxsplit=1) == ["type", "Binding request"]
    assert "sender     192.0.2.1:50000, no flow before it" in lines
    assert "verdict    UP_ADMITTED: first check of a new client, flow made and forwarded" in lines
    assert any(line.startswith("forwarded  to 10.0.0.1:4000, in a trunk datagram of ") for line in lines)
    assert lines[-1].startswith("advice     Nothing. Its rate is the rate of new calls")


def test_a_dropped_packet_is_an_exit_code(trace: Callable[..., Outcome]) -> None:
    told = trace(packets.DTLS)
    assert told.code == 1
    assert "verdict    UNKNOWN_CLIENT" in told.out
    assert "note       any network counted as allowed" in told.out


def test_json_has_the_whole_explanation(trace: Callable[..., Outcome]) -> None:
    told = trace(check(ticket()), "--cluster", "7", "--flow", "10.0.0.9:4000", "--json")
    document = json.loads(told.out)
    assert told.code == 0
    assert document["verdict"] == "UP_REPOINTED"
    assert document["forwarded_to"] == "10.0.0.1:4000"
    assert document["token"]["session"] == "0000000000000001"
    assert ["type", "Binding request"] in document["packet"]["fields"]


def test_a_configuration_gives_keys_networks_and_cluster(trace: Callable[..., Outcome]) -> None:
    config = Path("relay.toml")
    config.write_text('[relay]\nlisten = ["198.51.100.1:3478"]\ntrunk = "10.0.0.5"\nallow = ["10.0.0.0/8"]\n')
    with_cluster = config.read_text() + "cluster = 7\n"
    assert "TOKEN_FOREIGN_CLUSTER" in trace(check(ticket()), "--config", "relay.toml").out
    config.write_text(with_cluster)
    told = trace(check(ticket()), "--config", "relay.toml")
    assert "verdict    UP_ADMITTED" in told.out
    assert "note" not in told.out
    assert "BAD_SOURCE" in trace(check(ticket()), "--config", "relay.toml", "--from", "198.51.100.1:3478").out
    refused = trace(check(ticket()), "--config", "relay.toml", "--allow", "10.0.0.0/8")
    assert refused == (2, "", "fastrelay: --allow: is in the file that --config names; leave one out\n")


def test_a_packet_may_come_on_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trace: Callable[..., Outcome]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(packets.SRTP.hex(" ") + "\n"))
    assert run(["trace", "--packet", "-", "--flow", "10.0.0.1:4000"]) == 0
    assert "UP_SRTP" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["80 6f 00 01", "80:6f:00:01", "0x806f 0x0001", "806F\n0001\n", " 806f0001"])
def test_hex_is_taken_in_any_usual_form(text: str) -> None:
    assert parse_hex(text) == b"\x80\x6f\x00\x01"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("806", "one is missing"),
        ("80 6g", "'g', digit 4, is not hexadecimal"),
        ("00" * 65_536, "65,536 bytes are more"),
    ],
    ids=["half a byte", "no hex", "too long"],
)
def test_what_is_no_hex_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_hex(text)
