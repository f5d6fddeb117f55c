"""The compiled packet decision equals its readable twin: verdict by verdict, counter by counter, byte by byte."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataplane.cores import Core, Setup, hello_of, make_compiled, make_twin, opened
from tests.dataplane.packets import NOW_MS, UNIX_S
from tests.dataplane.traffic import LIMITS, Down, Greet, Step, Sweep, Up, calls


def outcome(core: Core, step: Step, now_ms: int) -> object:
    """All that a step causes, in a form that can be compared."""
    unix_s = UNIX_S + (now_ms - NOW_MS) // 1000
    what = step.what
    if isinstance(what, Up):
        return core.up(what.packets, now_ms, unix_s)
    if isinstance(what, Down):
        return core.down(what.datagrams, now_ms, unix_s)
    if isinstance(what, Sweep):
        core.sweep(now_ms)
        return None
    assert isinstance(what, Greet)
    # The core reads the clock for a HELLO's echo delay, so that one field is left out, and the MAC over it is checked.
    return [
        (to, replace(opened(datagram), mac=b""), replace(hello_of(datagram), echo_delay_us=0))
        for to, datagram in core.hello(now_ms, unix_s)
    ]


@settings(deadline=None, max_examples=150)
@given(calls)
def test_generated_traffic_ends_the_same(steps: list[Step]) -> None:
    setup = Setup(limits=LIMITS)
    twin, compiled = make_twin(setup), make_compiled(setup)
    now_ms = NOW_MS
    for number, step in enumerate(steps):
        now_ms += step.after_ms
        assert outcome(compiled, step, now_ms) == outcome(twin, step, now_ms), number
        assert compiled.flows() == twin.flows(), number
        assert compiled.counters() == twin.counters(), number


crews = st.lists(st.tuples(st.integers(0, 2), st.booleans(), calls), max_size=8)
"""A worker of three, whether it drains from now on, and what it gets to do."""


@settings(deadline=None, max_examples=100)
@given(crews)
def test_workers_that_take_over_flows_end_the_same(parts: list[tuple[int, bool, list[Step]]]) -> None:
    setup = Setup(limits=replace(LIMITS, flows=8), hash_key=bytes(range(32)), leaving=[2])
    crew = [(make_twin(setup), make_compiled(setup)) for _ in range(3)]
    for at, (twin, compiled) in enumerate(crew):
        others = crew[:at] + crew[at + 1 :]
        twin.set_siblings([other for other, _ in others])
        compiled.set_siblings([other for _, other in others])
    now_ms = NOW_MS
    for worker, is_draining, steps in parts:
        twin, compiled = crew[worker]
        twin.set_draining(is_draining)
        compiled.set_draining(is_draining)
        for number, step in enumerate(steps):
            now_ms += step.after_ms
            assert outcome(compiled, step, now_ms) == outcome(twin, step, now_ms), number
            assert compiled.flows() == twin.flows(), number
            assert compiled.counters() == twin.counters(), number
