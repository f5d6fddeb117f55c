"""Runs the case table over every implementation of the packet decision."""

from collections import Counter

import pytest

from fastrelay.wire.trunk import parse_header
from tests.dataplane.cases import Case, Down, Left, Sweep, Up
from tests.dataplane.cases_flows import FLOW_CASES
from tests.dataplane.cases_limits import LIMIT_CASES
from tests.dataplane.conftest import MakeCore
from tests.dataplane.cores import Core, Setup, local_address
from tests.dataplane.packets import CURRENT, EPOCH_US, NOW_MS

CASES = FLOW_CASES + LIMIT_CASES


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_case(case: Case, make_core: MakeCore) -> None:
    core = make_core(Setup(limits=case.limits))
    counted: Counter[str] = Counter()
    for number, step in enumerate(case.steps, start=1):
        counted.update(run(core, step, f"step {number}"))
    left = [
        Left(flow.client, flow.peer, flow.is_confirmed, flow.packets_up, flow.packets_down, flow.via)
        for flow in core.flows()
    ]
    assert left == sorted(case.flows)
    assert core.counters().events == case.events
    assert core.counters().packets == counted


def run(core: Core, step: Up | Down | Sweep, name: str) -> list[str]:
    """The step's verdicts, after they and what left were compared."""
    if isinstance(step, Sweep):
        core.sweep(NOW_MS + step.at_ms)
        return []
    if isinstance(step, Up):
        upward = core.up([(packet, client, via) for client, packet, via in step.packets], NOW_MS + step.at_ms)
        assert upward.verdicts == step.verdicts, name
        assert core.bundles(upward) == step.sent, name
        return step.verdicts
    downward = core.down(step.datagrams, NOW_MS + step.at_ms)
    assert downward.verdicts == step.verdicts, name
    assert downward.frame_verdicts == step.frames, name
    assert downward.sent == sorted(step.sent, key=local_address), name
    return step.verdicts + step.frames


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_bundles_are_numbered_from_one_for_each_transceiver(core: Core) -> None:
    case = next(case for case in CASES if case.name.startswith("one bundle for each"))
    numbers: dict[tuple[str, int], list[int]] = {}
    for step in case.steps:
        assert isinstance(step, Up)
        for to, datagram in core.up([(packet, client, via) for client, packet, via in step.packets]).datagrams:
            header = parse_header(datagram)
            assert (header.key_id, header.epoch_us) == (CURRENT.id, EPOCH_US)
            numbers.setdefault(to, []).append(header.sequence)
    assert sorted(numbers.values()) == [[1, 2], [1, 2, 3]]


def test_bytes_are_counted_beside_packets(core: Core) -> None:
    case = CASES[0]
    expected: Counter[str] = Counter()
    for step in case.steps:
        run(core, step, case.name)
        if isinstance(step, Up):
            expected.update(dict.fromkeys(step.verdicts, 0))
            for verdict, (_, packet, _) in zip(step.verdicts, step.packets, strict=True):
                expected[verdict] += len(packet)
        elif isinstance(step, Down):
            expected["TRUNK_BUNDLE"] += sum(len(datagram) for _, datagram in step.datagrams)
            for verdict, sent in zip(step.frames, step.sent, strict=False):
                expected[verdict] += len(sent.payload)
    assert core.counters().bytes == {verdict: count for verdict, count in expected.items() if count}
