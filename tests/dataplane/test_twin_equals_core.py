"""The compiled packet decision equals its readable twin: verdict by verdict, counter by counter, byte by byte."""

from dataclasses import replace

from hypothesis import given, settings

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
