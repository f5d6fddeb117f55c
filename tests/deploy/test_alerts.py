"""The alert rules: Prometheus takes them, each fires in the trouble it is for, and a healthy relay sets off none."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
SCRAPE = ROOT / "deploy" / "prometheus" / "scrape.yaml"
R1 = 'job="fastrelay-relay",instance="r1"'
R2 = 'job="fastrelay-relay",instance="r2"'
DAY_S = 86_400


@dataclass(frozen=True)
class Flat:
    """A gauge that stays, or a counter that does not rise."""

    value: float


@dataclass(frozen=True)
class Rising:
    """A counter with its rate, or an age."""

    per_s: float
    start: float = 0.0


@dataclass(frozen=True)
class Steps:
    """A value that changes once, after so many minutes."""

    before: float
    after: float
    minute: int


Course = Flat | Rising | Steps


def histogram(name: str, **per_s: float) -> dict[str, Course]:
    """Return the rising buckets of a histogram, whose limits are named as _0_05 for 0.05; the last one is +Inf too."""
    limits = {name.removeprefix("_").replace("_", ".", 1): rate for name, rate in per_s.items()}
    series: dict[str, Course] = {f'{name}_bucket{{{R1},le="{limit}"}}': Rising(rate) for limit, rate in limits.items()}
    last = Rising(list(per_s.values())[-1])
    return series | {f'{name}_bucket{{{R1},le="+Inf"}}': last, f"{name}_count{{{R1}}}": last}


def verdict(name: str) -> str:
    return f'fastrelay_verdicts_total{{{R1},worker="0",verdict="{name}"}}'


HEALTHY: dict[str, Course] = {
    f"up{{{R1}}}": Flat(1),
    f"fastrelay_ready{{{R1}}}": Flat(1),
    f"fastrelay_ready{{{R2}}}": Flat(1),
    f"fastrelay_draining{{{R1}}}": Flat(0),
    f'fastrelay_worker_up{{{R1},worker="0"}}': Flat(1),
    f'fastrelay_worker_restarts_total{{{R1},worker="0"}}': Flat(0),
    f"fastrelay_adoptions_total{{{R1}}}": Flat(0),
    f'fastrelay_reloads_total{{{R1},result="done"}}': Rising(0.01),
    f'fastrelay_reloads_total{{{R1},result="refused"}}': Flat(0),
    f'fastrelay_upgrades_total{{{R1},result="refused"}}': Flat(0),
    f'fastrelay_build_info{{{R1},version="1.0"}}': Flat(1),
    f'fastrelay_build_info{{{R2},version="1.0"}}': Flat(1),
    f'fastrelay_worker_busy_seconds_total{{{R1},worker="0"}}': Rising(0.5),
    f'fastrelay_worker_busy_seconds_total{{{R1},worker="1"}}': Rising(0.4),
    f'fastrelay_flow_table_load_ratio{{{R1},worker="0"}}': Flat(0.4),
    verdict("UP_ADMITTED"): Rising(1.0),
    verdict("DOWN_CONFIRMED"): Rising(0.95),
    verdict("TABLE_FULL"): Flat(0),
    verdict("SOURCE_BUDGET"): Rising(0.1),
    verdict("TRUNK_BAD_MAC"): Rising(0.01),
    f'fastrelay_kernel_drops_total{{{R1},worker="0",direction="up"}}': Flat(0),
    f'fastrelay_packets_total{{{R1},worker="0",direction="up"}}': Rising(10_000),
    **histogram("fastrelay_hop_seconds", _0_00005=900, _0_001=1000),
    f'fastrelay_offload_active{{{R1},worker="0"}}': Flat(1),
    f'fastrelay_trunk_silent_seconds{{{R1},transceiver="t1"}}': Flat(0.6),
    f'fastrelay_trunk_flows{{{R1},transceiver="t1"}}': Flat(100),
    f'fastrelay_trunk_lost_total{{{R1},transceiver="t1"}}': Rising(0.1),
    f'fastrelay_trunk_received_total{{{R1},transceiver="t1"}}': Rising(1000),
    f'fastrelay_trunk_rtt_seconds{{{R1},transceiver="t1"}}': Flat(0.002),
    f"fastrelay_calls{{{R1}}}": Flat(200),
    f"fastrelay_flows_one_way{{{R1}}}": Flat(2),
    **histogram("fastrelay_call_loss_ratio", _0_01=0.97, _0_1=1.0),
    **histogram("fastrelay_call_setup_seconds", _0_5=0.97, _5=1.0),
    f'fastrelay_token_refusals_total{{{R1},reason="unknown_key"}}': Rising(0.01),
    f'fastrelay_token_refusals_total{{{R1},reason="expired"}}': Rising(5),
    f'fastrelay_key_age_seconds{{{R1},key="0"}}': Rising(1, start=30 * DAY_S),
    f'fastrelay_key_age_seconds{{{R2},key="0"}}': Rising(1, start=30 * DAY_S),
}


@dataclass(frozen=True)
class Scenario:
    """What differs from a healthy relay, for how long, and which alerts fire then."""

    changes: Mapping[str, Course]
    minutes: int
    alerts: set[str] = field(default_factory=set)

    def series(self) -> dict[str, Course]:
        """Return all series. A changed histogram has other limits, so none of the healthy one's buckets stays."""
        histograms = {name.partition("_bucket{")[0] for name in self.changes if "_bucket{" in name}
        kept = {name: course for name, course in HEALTHY.items() if name.partition("_bucket{")[0] not in histograms}
        return kept | dict(self.changes)


def case(name: str, minutes: int, alerts: str, changes: dict[str, Course]) -> Any:
    return pytest.param(Scenario(changes, minutes, set(alerts.split())), id=name)


LATE = Steps(0, 1, 28)
CASES = [
    case("healthy", 30, "", {}),
    case("no answer", 30, "RelayDown", {f"up{{{R1}}}": Steps(1, 0, 29)}),
    case("not ready", 30, "RelayNotReady", {f"fastrelay_ready{{{R1}}}": Steps(1, 0, 28)}),
    case("draining", 30, "", {f"fastrelay_ready{{{R1}}}": Flat(0), f"fastrelay_draining{{{R1}}}": Flat(1)}),
    case("draining for hours", 150, "RelayDrainsLong", {f"fastrelay_draining{{{R1}}}": Flat(1)}),
    case("worker gone", 30, "RelayWorkerDown", {f'fastrelay_worker_up{{{R1},worker="0"}}': Steps(1, 0, 29)}),
    case("worker died", 30, "RelayWorkerRestarted", {f'fastrelay_worker_restarts_total{{{R1},worker="0"}}': LATE}),
    case(
        "worker dies again and again",
        30,
        "RelayWorkerRestarted RelayWorkerCrashing",
        {f'fastrelay_worker_restarts_total{{{R1},worker="0"}}': Rising(0.02)},
    ),
    case("workers adopted", 30, "RelaySupervisorReplaced", {f"fastrelay_adoptions_total{{{R1}}}": LATE}),
    case("reload refused", 30, "RelayReloadRefused", {f'fastrelay_reloads_total{{{R1},result="refused"}}': LATE}),
    case("upgrade refused", 30, "RelayUpgradeRefused", {f'fastrelay_upgrades_total{{{R1},result="refused"}}': LATE}),
    case(
        "two releases for two days",
        2880,
        "RelayReleasesDiffer",
        {f'fastrelay_build_info{{{R2},version="0.9"}}': Flat(1)},
    ),
    case(
        "worker busy", 30, "RelayWorkerBusy", {f'fastrelay_worker_busy_seconds_total{{{R1},worker="1"}}': Rising(0.81)}
    ),
    case(
        "worker busy, not yet",
        30,
        "",
        {f'fastrelay_worker_busy_seconds_total{{{R1},worker="1"}}': Rising(0.79)},
    ),
    case(
        "one worker works for all",
        60,
        "RelayWorkersUneven",
        {f'fastrelay_worker_busy_seconds_total{{{R1},worker="1"}}': Rising(0.05)},
    ),
    case(
        "table fills", 30, "RelayFlowTableFilling", {f'fastrelay_flow_table_load_ratio{{{R1},worker="0"}}': Flat(0.81)}
    ),
    case("table full", 30, "RelayFull", {verdict("TABLE_FULL"): Rising(0.1)}),
    case(
        "buffers overflow",
        30,
        "RelayKernelDrops",
        {f'fastrelay_kernel_drops_total{{{R1},worker="0",direction="up"}}': Rising(2)},
    ),
    case("slow hop", 30, "RelayHopSlow", histogram("fastrelay_hop_seconds", _0_001=980, _0_005=1000)),
    case("no offload", 30, "RelayOffloadOff", {f'fastrelay_offload_active{{{R1},worker="0"}}': Flat(0)}),
    case("flood", 30, "RelayFlood", {verdict("SOURCE_BUDGET"): Rising(1000)}),
    case(
        "transceiver silent",
        30,
        "RelayTransceiverSilent",
        {f'fastrelay_trunk_silent_seconds{{{R1},transceiver="t1"}}': Flat(6)},
    ),
    case(
        "transceiver gone, and nobody misses it",
        30,
        "",
        {
            f'fastrelay_trunk_silent_seconds{{{R1},transceiver="t1"}}': Flat(600),
            f'fastrelay_trunk_flows{{{R1},transceiver="t1"}}': Flat(0),
        },
    ),
    case("trunk loses", 30, "RelayTrunkLoss", {f'fastrelay_trunk_lost_total{{{R1},transceiver="t1"}}': Rising(6)}),
    case("trunk slow", 30, "RelayTrunkSlow", {f'fastrelay_trunk_rtt_seconds{{{R1},transceiver="t1"}}': Flat(0.06)}),
    case("trunk refused", 30, "RelayTrunkRefused", {verdict("TRUNK_BAD_MAC"): Rising(2)}),
    case("calls gone", 30, "RelayCallsGone", {f"fastrelay_calls{{{R1}}}": Steps(200, 10, 28)}),
    case(
        "calls end in a drain",
        30,
        "",
        {f"fastrelay_calls{{{R1}}}": Steps(200, 10, 28), f"fastrelay_draining{{{R1}}}": Flat(1)},
    ),
    case("new calls unanswered", 30, "RelayNewCallsUnanswered", {verdict("DOWN_CONFIRMED"): Rising(0.7)}),
    case("one-way audio", 30, "RelayOneWayAudio", {f"fastrelay_flows_one_way{{{R1}}}": Flat(6)}),
    case("lossy calls", 60, "RelayCallLoss", histogram("fastrelay_call_loss_ratio", _0_05=0.8, _0_1=1.0)),
    case("lossy calls, but few", 60, "", histogram("fastrelay_call_loss_ratio", _0_05=0.008, _0_1=0.01)),
    case("slow set-up", 60, "RelayCallSetupSlow", histogram("fastrelay_call_setup_seconds", _3=0.8, _5=1.0)),
    case(
        "tokens refused",
        30,
        "RelayTokensRefused",
        {f'fastrelay_token_refusals_total{{{R1},reason="unknown_key"}}': Rising(1)},
    ),
    case(
        "a ring without the new key",
        30,
        "RelayKeyRingsDiffer",
        {f'fastrelay_key_age_seconds{{{R1},key="1"}}': Rising(1, start=-7200)},
    ),
    case(
        "last key ends", 30, "RelayKeysEnd", {f'fastrelay_key_expires_seconds{{{R1},key="0"}}': Rising(-1, start=DAY_S)}
    ),
    case(
        "old key ends, new one stays",
        30,
        "",
        {
            f'fastrelay_key_expires_seconds{{{R1},key="0"}}': Rising(-1, start=DAY_S),
            f'fastrelay_key_age_seconds{{{R1},key="1"}}': Rising(1),
            f'fastrelay_key_age_seconds{{{R2},key="1"}}': Rising(1),
        },
    ),
    case(
        "key never rotated",
        120,
        "RelayKeyOld",
        {f'fastrelay_key_age_seconds{{{R1},key="0"}}': Rising(1, start=91 * DAY_S)},
    ),
]


def points(course: Course, interval_s: int, minutes: int) -> str:
    """Return a series in promtool's notation, one sample each interval."""
    count = minutes * 60 // interval_s
    match course:
        case Flat(value):
            return f"{value}x{count}"
        case Rising(per_s, start):
            return f"{start}{per_s * interval_s:+f}x{count}"
        case Steps(before, after, minute):
            change = minute * 60 // interval_s
            return f"{before}x{change - 1} {after}x{count - change}"


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_prometheus_takes_the_rules() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_prometheus_takes_the_scrape_configuration() -> None:
    done = promtool("check", "config", SCRAPE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("scenario", CASES)
def test_alerts_fire_in_the_trouble_they_are_for(scenario: Scenario, tmp_path: Path) -> None:
    interval_s = 30 if scenario.minutes <= 60 else 300
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(scenario.alerts)]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{interval_s}s",
        "tests": [
            {
                "interval": f"{interval_s}s",
                "input_series": [
                    {"series": name, "values": points(course, interval_s, scenario.minutes)}
                    for name, course in scenario.series().items()
                ],
                "promql_expr_test": [
                    {
                        "expr": 'max by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{scenario.minutes}m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps(test))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stderr + done.stdout


def test_each_alert_has_its_trouble() -> None:
    shown = set().union(*(parameter.values[0].alerts for parameter in CASES))
    assert shown == {rule["alert"] for rule in rules()}


def test_each_alert_says_whom_it_calls_and_where() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert "$labels." in rule["annotations"]["summary"], rule["alert"]


def test_no_alert_has_two_rules() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
