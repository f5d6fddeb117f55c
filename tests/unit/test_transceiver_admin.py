"""What a transceiver says of itself: its admin paths, its metrics, and sums that no restart takes back."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import socket
from collections.abc import Mapping
from contextlib import closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fastrelay.errors import ConfigError
from fastrelay.observe.admin.server import Doors
from fastrelay.observe.answers import Snapshot
from fastrelay.observe.report import report
from fastrelay.observe.status import KeyStatus, ServiceState, ServiceStatus
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.session.states import EndReason
from fastrelay.transceiver.supervisor.crew import Crew
from fastrelay.transceiver.supervisor.member import Member
from fastrelay.transceiver.supervisor.metrics import FAMILIES, SETUP_NAME
from fastrelay.transceiver.supervisor.process import Stage, WorkerProcess
from fastrelay.transceiver.supervisor.routes import TransceiverRoutes
from fastrelay.transceiver.supervisor.sockets import Neighbourhood
from fastrelay.transceiver.supervisor.sums import Sums
from fastrelay.transceiver.worker.orders import Charge, Order, Word
from fastrelay.transceiver.worker.plan import SLOTS, WorkerPlan, socket_name

ROOT = Path(__file__).parents[2]
PAGE, SOURCE = ROOT / "docs" / "transceiver.md", ROOT / "src" / "fastrelay"
STATUS = {
    "calls": 3,
    "states": {"established": 2, "handshaking": 1},
    "opened": 10,
    "ended": {"client_hung_up": 6, "consent_expired": 1},
    "refused": {"invalid_offer": 2},
    "setup_ms": {"bounds": [5, 10], "counts": [1, 4, 2], "sum": 90.0},
    "exchange": {"audio": 500, "checks": 20, "audio_sent": 490, "sent": 520},
    "agents": {"running": 3, "started": 10, "ended": 7, "failed": 1},
    "relays": [{"address": ["10.0.0.5", 4000], "received": 400, "lost": 4, "rtt_us": 250, "silent_s": 0.1}],
    "agent": "echo",
    "srtp": "batch",
    "rss_bytes": 100_000_000,
    "cpu_s": 1.5,
    "lag_s": 0.002,
    "answers": {"201": 10, "503": 1},
    "connections": 4,
    "connections_turned_away": 0,
}


class ProcessStandIn(WorkerProcess):
    """A worker that has said STATUS, and tells of one call when it is asked."""

    def __init__(self, crew: Crew, index: int, slot: int) -> None:
        plan = WorkerPlan(
            slot=slot,
            cpu=index,
            trunk=("10.0.0.7", 0),
            relays=(("203.0.113.5", 3478),),
            allowed=(ip_network("10.0.0.0/8"),),
            neighbours=Path("run"),
            agent="echo",
        )
        super().__init__(index, Charge(plan, KeyRing(()), None), crew._heard, crew._ended)
        self._words = crew._heard
        self.stage = Stage.SERVING
        self.status = STATUS
        self.release, self.trunk = "0.2.0", "10.0.0.7:4100"

    @property
    def pid(self) -> int:
        return 4000 + self.slot

    def order(self, order: Order, **values: Any) -> bool:
        assert order is Order.CALLS
        body = {"serial": values["serial"], "calls": [{"call_id": f"rtc_{self.slot}"}], "left_out": 1}
        asyncio.get_running_loop().call_soon(self._words, self, Word.CALLS, body)
        return True


class Subject:
    """A transceiver of two workers, the first of which has a predecessor that drains."""

    def __init__(self, folder: Path, state: ServiceState = ServiceState.SERVING) -> None:
        self.state = state
        self.crew = Crew(_no_charge, 0, Neighbourhood(folder))
        for index in range(2):
            member = Member(index, index)
            member.process = ProcessStandIn(self.crew, index, index)
            self.crew.members.append(member)
        predecessor = ProcessStandIn(self.crew, 0, 7)
        predecessor.stage = Stage.DRAINING
        self.crew.members[0].leaving.append(predecessor)
        self.crew.members[1].past.add(STATUS)

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            release="0.2.0",
            pid=1,
            state=self.state,
            listen=("http://10.0.0.7:8080",),
            workers=tuple(member.status for member in self.crew.members),
            keys=(KeyStatus(0, 0, None, is_minting=True),),
            config={"limits.calls": {"value": 2000, "from": "default"}},
            reloads=2,
        )


def _no_charge(slot: int, cpu: int) -> Charge:
    raise AssertionError("nothing is started here")


def asked(folder: Path, *paths: str, state: ServiceState = ServiceState.SERVING) -> list[tuple[int, str]]:
    """Code and text of the answer at each path."""

    async def ask() -> list[tuple[int, str]]:
        listener = socket.create_server(("127.0.0.1", 0))
        doors = Doors(TransceiverRoutes(Subject(folder, state)))
        await doors.open([listener])
        where = f"http://127.0.0.1:{listener.getsockname()[1]}"
        found = []
        try:
            async with aiohttp.ClientSession() as session:
                for path in paths:
                    async with session.get(where + path) as response:
                        found.append((response.status, await response.text()))
        finally:
            await doors.close()
        return found

    return asyncio.run(ask())


def samples(text: str) -> Mapping[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_status_document_is_what_commands_read(tmp_path: Path) -> None:
    ((code, text),) = asked(tmp_path, "/status")
    snapshot = Snapshot.parse(json.loads(text))
    assert (code, snapshot.tier, snapshot.totals.calls, snapshot.totals.leaving) == (200, "transceiver", 9, 3)
    assert [(each.index, each.pid, each.flows) for each in snapshot.workers] == [(0, 4000, 6), (1, 4001, 3)]
    lines = [line.plain for line in report(snapshot, [], 200)]
    assert "calls     9, of which 3 with workers that have been replaced" in lines
    assert not [line for line in lines if line.startswith(("packets", "steering"))]
    assert any(line.split()[:3] == ["worker", "state", "pid"] and "calls" in line for line in lines)


def test_calls_of_all_workers_are_listed(tmp_path: Path) -> None:
    ((code, text),) = asked(tmp_path, "/calls")
    found = json.loads(text)
    assert (code, found["left_out"]) == (200, 3)
    assert {(call["worker"], call["slot"], call["call_id"]) for call in found["calls"]} == {
        (0, 0, "rtc_0"),
        (1, 1, "rtc_1"),
        (0, 7, "rtc_7"),
    }


def test_transceiver_that_serves_is_alive_and_ready(tmp_path: Path) -> None:
    assert asked(tmp_path, "/livez", "/readyz") == [(200, "alive\n"), (200, "ready\n")]


@pytest.mark.parametrize("state", [ServiceState.STARTING, ServiceState.DRAINING, ServiceState.STOPPING])
def test_transceiver_that_does_not_serve_is_alive_and_not_ready(tmp_path: Path, state: ServiceState) -> None:
    assert asked(tmp_path, "/livez", "/readyz", state=state) == [
        (200, "alive\n"),
        (503, f"the transceiver is {state.value}\n"),
    ]


def test_configuration_and_release_are_told(tmp_path: Path) -> None:
    config, version, nothing = asked(tmp_path, "/debug/config", "/version", "/flows")
    assert json.loads(config[1])["config"] == {"limits.calls": {"value": 2000, "from": "default"}}
    assert json.loads(version[1]) == {"release": "0.2.0", "workers": {"0": "0.2.0", "1": "0.2.0"}}
    assert nothing[0] == 404


def test_metrics_add_up_over_the_lives_of_processes(tmp_path: Path) -> None:
    ((code, text),) = asked(tmp_path, "/metrics")
    found = samples(text)
    assert code == 200
    # each place has had two processes: one that drains beside the present one, one that has ended
    assert found['fastrelay_transceiver_calls_opened_total{worker="0"}'] == 20
    assert found['fastrelay_transceiver_calls_opened_total{worker="1"}'] == 20
    assert found['fastrelay_transceiver_calls_ended_total{reason="client_hung_up",worker="1"}'] == 12
    assert found['fastrelay_transceiver_calls{state="established",worker="0"}'] == 4
    assert found['fastrelay_transceiver_calls{state="established",worker="1"}'] == 2
    assert found["fastrelay_transceiver_calls_leaving"] == 3
    assert found['fastrelay_transceiver_datagrams_total{direction="up",kind="audio",worker="0"}'] == 1000
    assert found['fastrelay_transceiver_trunk_lost_total{relay="10.0.0.5:4000",worker="0"}'] == 4
    assert found['fastrelay_transceiver_trunk_rtt_seconds{relay="10.0.0.5:4000",worker="0"}'] == pytest.approx(250e-6)
    assert found['fastrelay_transceiver_setup_seconds_bucket{le="0.01"}'] == 20
    assert found['fastrelay_transceiver_setup_seconds_bucket{le="+Inf"}'] == 28
    assert found["fastrelay_transceiver_setup_seconds_sum"] == pytest.approx(0.36)
    assert found['fastrelay_transceiver_http_answers_total{status="201",worker="0"}'] == 20
    assert found['fastrelay_transceiver_reloads_total{outcome="done"}'] == 2
    assert 'event="running"' not in text, "how many run is no count"


def test_page_explains_every_metric() -> None:
    explained = re.findall(r"^\| `(fastrelay_transceiver_\w+)`", PAGE.read_text(), re.MULTILINE)
    assert sorted(explained) == sorted([*(family.name for family in FAMILIES), SETUP_NAME])


def test_release_with_other_buckets_does_not_spoil_the_histogram() -> None:
    sums = Sums()
    sums.add(STATUS)
    sums.add({"setup_ms": {"bounds": [7], "counts": [1, 1], "sum": 5.0}})
    assert (sums.setup.bounds, sums.setup.counts, sums.setup.total_ms) == ((5, 10), [1, 4, 2], 90.0)


def test_status_of_a_release_that_says_less_counts_as_nothing() -> None:
    sums = Sums()
    sums.add({})
    assert (sums.opened, sums.setup.counts) == (0, [])


# --- slots


def test_slots_are_given_in_turn_and_again_only_when_free(tmp_path: Path) -> None:
    places = Neighbourhood(tmp_path)
    opened = [places.open() for _ in range(SLOTS)]
    try:
        assert [slot for slot, _ in opened] == list(range(SLOTS))
        with pytest.raises(ConfigError, match="all 256 slots"):
            places.open()
        places.release(5)
        assert not (tmp_path / socket_name(5)).exists()
        slot, end = places.open()
        end.close()
        assert slot == 5
    finally:
        for _, end in opened:
            end.close()


def test_slots_of_orphans_stay_theirs_and_those_of_the_dead_are_cleared(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as living, closing(socket.socket(socket.AF_UNIX)) as dead:
        living.bind(str(tmp_path / socket_name(0)))
        living.listen()
        dead.bind(str(tmp_path / socket_name(1)))
        dead.close()
        places = Neighbourhood(tmp_path)
        assert places.orphans == {0}
        assert not (tmp_path / socket_name(1)).exists()
        slot, end = places.open()
        end.close()
        assert slot == 1


def log_messages() -> set[str]:
    """Every constant message that a transceiver's processes log."""
    found = set()
    for folder in ("transceiver", "http", "agent", "media", "service"):
        for path in sorted((SOURCE / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_log(node.func.value):
                    found |= {text for arg in node.args for each in ast.walk(arg) if (text := _text(each))}
    return found


def _is_log(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "LOG"


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_page_says_what_every_log_line_means() -> None:
    section = PAGE.read_text().partition("\n## Log lines\n")[2].partition("\n## ")[0]
    explained = {line for row in section.splitlines() for line in re.findall(r"`([^`=]+)`", row.split(" | ")[0])}
    assert log_messages() - explained == set()


def test_page_explains_every_end_of_a_call() -> None:
    section = PAGE.read_text().partition("\n## Why calls end\n")[2].partition("\n## ")[0]
    explained = {word for row in section.splitlines() for word in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])}
    assert explained == {reason.value for reason in EndReason}
