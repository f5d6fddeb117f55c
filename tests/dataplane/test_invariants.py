"""What must hold whatever is sent: one verdict for each datagram, bounded tables, no bytes for strangers."""

from collections import Counter

from hypothesis import given, settings

from fastrelay.relay.dataplane.twin_flows import NO_SESSION
from fastrelay.wire.trunk import Client
from tests.dataplane.conftest import MakeCore
from tests.dataplane.cores import Core, Setup
from tests.dataplane.packets import NOW_MS, UNIX_S
from tests.dataplane.traffic import LIMITS, Down, Greet, Step, Sweep, Up, calls

FORWARDING = {"UP_STUN", "UP_DTLS", "UP_SRTP", "UP_SRTCP", "UP_ADMITTED", "UP_REPOINTED"}
SENDING = {"DOWN_FORWARDED", "DOWN_CONFIRMED", "DOWN_RECREATED"}


class Watched:
    """A core whose every step is held to the invariants."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.now_ms = NOW_MS
        self.counted: Counter[str] = Counter()
        self.sent_to_unconfirmed: Counter[Client] = Counter()

    def take(self, step: Step) -> None:
        self.now_ms += step.after_ms
        unix_s = UNIX_S + (self.now_ms - NOW_MS) // 1000
        confirmed = {flow.client: flow for flow in self.core.flows() if flow.is_confirmed}
        what = step.what
        if isinstance(what, Up):
            self.up(what, unix_s)
            assert confirmed.keys() <= {flow.client for flow in self.core.flows() if flow.is_confirmed}
        elif isinstance(what, Down):
            self.down(what, unix_s)
        elif isinstance(what, Sweep):
            self.core.sweep(self.now_ms)
        elif isinstance(what, Greet):
            self.core.hello(self.now_ms, unix_s)
        flows = self.core.flows()
        assert len(flows) <= LIMITS.flows
        assert len({flow.peer for flow in flows}) <= LIMITS.peers
        sessions = Counter(flow.session_id for flow in flows if flow.session_id != bytes(8))
        assert max(sessions.values(), default=0) <= LIMITS.session_flows
        assert self.core.counters().packets == self.counted

    def up(self, what: Up, unix_s: int) -> None:
        upward = self.core.up(what.packets, self.now_ms, unix_s)
        self.counted.update(upward.verdicts)
        ends = zip(upward.verdicts, what.packets, strict=True)
        forwarded = [packet for verdict, (packet, _, _) in ends if verdict in FORWARDING]
        carried = [frame.payload for bundle in self.core.bundles(upward) for frame in bundle.frames]
        assert sorted(carried) == sorted(forwarded)

    def down(self, what: Down, unix_s: int) -> None:
        # a flow made again from the trunk has no session here: its transceiver vouches for it
        unanswered = [flow for flow in self.core.flows() if not flow.is_confirmed and flow.session_id != NO_SESSION]
        heard = {flow.client: flow.bytes_up for flow in unanswered}
        downward = self.core.down(what.datagrams, self.now_ms, unix_s)
        self.counted.update(downward.verdicts + downward.frame_verdicts)
        assert len(downward.verdicts) == len(what.datagrams)
        assert len(downward.sent) == sum(verdict in SENDING for verdict in downward.frame_verdicts)
        firsts = {sent.client: len(sent.payload) for sent in reversed(downward.sent)}
        if not {"DOWN_RECREATED", "DOWN_CLOSED"} & set(downward.frame_verdicts):
            assert all(length <= heard[client] for client, length in firsts.items() if client in heard)


def test_invariants_hold_under_generated_traffic(make_core: MakeCore) -> None:
    @settings(deadline=None)
    @given(calls)
    def hold(steps: list[Step]) -> None:
        watched = Watched(make_core(Setup(limits=LIMITS)))
        for step in steps:
            watched.take(step)

    hold()
