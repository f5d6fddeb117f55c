"""The look over all flows: calls, one-way audio, the worst calls, and what looking may cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fastrelay._ext.relay_core import flow_page_layout
from fastrelay.observe import survey
from fastrelay.observe.flows import FLOW, QUALITY, FlowPage
from fastrelay.observe.survey import Census, Pace, Survey
from fastrelay.wire.trunk import Client, Frame
from tests.dataplane.packets import ALICE, BOB, DTLS, RESPONSE, SRTCP, SRTP, check, ticket
from tests.unit.observed_relay import PretendWorker, rtp

START_MS = 5_000_000
CAPACITY = 256


class Scene:
    """A worker, a survey of it, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.worker = PretendWorker(CAPACITY)
        self.worker.start()
        self.page = FlowPage(self.worker.flow_memory)
        self.survey = Survey()
        self.now_ms = START_MS
        self._sequence = 0

    def close(self) -> None:
        self.page.close()
        self.worker.close()

    def call(self, client: Client, session: int = 1) -> None:
        self.worker.call(client, session, at_ms=self.now_ms)

    def speak(self, client: Client, packets: int = 50) -> None:
        """Audio comes up."""
        self._sequence += packets
        first = self._sequence - packets
        self.worker.up(client, *(rtp(first + at) for at in range(packets)), at_ms=self.now_ms)

    def answer(self, client: Client) -> None:
        """Something goes down."""
        self.worker.down(Frame(client, SRTP), at_ms=self.now_ms)

    def look(self, after_s: float = 1.0) -> Census:
        self.now_ms += int(after_s * 1000)
        view = self.page.view()
        assert view is not None
        for _ in self.survey.look(view, CAPACITY, self.now_ms):
            continue
        return self.survey.census

    def quality(self, slot: int, **values: int) -> None:
        """Set how a flow sounds."""
        at = flow_page_layout(CAPACITY)["qualities"] + slot * QUALITY.itemsize
        record = np.frombuffer(self.worker.flow_memory, QUALITY, count=1, offset=at)
        for name, value in values.items():
            record[name] = value

    def packets_up(self, slot: int, count: int) -> None:
        at = flow_page_layout(CAPACITY)["flows"] + slot * FLOW.itemsize
        np.frombuffer(self.worker.flow_memory, FLOW, count=1, offset=at)["packets_up"] = count


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


def test_flows_are_counted_by_state(scene: Scene) -> None:
    scene.call(ALICE)
    scene.worker.up(BOB, check(ticket(2)), at_ms=scene.now_ms)
    census = scene.look()
    assert (census.confirmed, census.unconfirmed, census.calls, census.one_way) == (1, 1, 1, 0)
    assert census.last_packet_age_s == 1.0


def test_empty_table_has_no_last_packet(scene: Scene) -> None:
    assert scene.look() == Census()


def test_flow_whose_client_fell_silent_is_no_call(scene: Scene) -> None:
    scene.call(ALICE)
    assert scene.look(10.0).calls == 1
    census = scene.look()
    assert (census.confirmed, census.calls) == (1, 0)


# --- one-way audio


def test_audio_that_nothing_answers_is_one_way(scene: Scene) -> None:
    scene.call(ALICE)
    scene.look()
    scene.speak(ALICE)
    assert scene.look().one_way == 1
    assert scene.survey.one_way_started == 1
    assert scene.survey.one_way(np.array([0, 1, 5000])).tolist() == [True, False, False]


def test_one_way_call_is_counted_once_while_it_lasts(scene: Scene) -> None:
    scene.call(ALICE)
    scene.look()
    for _ in range(3):
        scene.speak(ALICE)
        assert scene.look().one_way == 1
    assert scene.survey.one_way_started == 1
    scene.speak(ALICE)
    scene.answer(ALICE)
    assert scene.look().one_way == 0
    scene.speak(ALICE)
    assert scene.look().one_way == 1
    assert scene.survey.one_way_started == 2


def test_answered_audio_is_not_one_way(scene: Scene) -> None:
    scene.call(ALICE)
    for _ in range(3):
        scene.speak(ALICE)
        scene.answer(ALICE)
        assert scene.look().one_way == 0


def test_listening_client_is_not_one_way(scene: Scene) -> None:
    scene.call(ALICE)
    scene.look()
    scene.answer(ALICE)
    assert scene.look().one_way == 0


@pytest.mark.parametrize(
    "payload", [check(ticket(1)), RESPONSE, DTLS, SRTCP], ids=["check", "response", "DTLS", "SRTCP"]
)
def test_what_is_no_audio_makes_no_call_one_way(scene: Scene, payload: bytes) -> None:
    scene.call(ALICE)
    scene.look()
    scene.worker.up(ALICE, payload, at_ms=scene.now_ms)
    assert scene.look().one_way == 0


def test_unconfirmed_flow_is_not_one_way(scene: Scene) -> None:
    scene.worker.up(ALICE, check(ticket(1)), at_ms=scene.now_ms)
    scene.look()
    scene.speak(ALICE)
    assert scene.look().one_way == 0


def test_first_look_judges_nobody(scene: Scene) -> None:
    scene.call(ALICE)
    scene.speak(ALICE)
    assert scene.look().one_way == 0


def test_looks_too_near_to_each_other_say_nothing(scene: Scene) -> None:
    scene.call(ALICE)
    scene.look()
    scene.speak(ALICE)
    assert scene.look(0.5).one_way == 0
    assert scene.look(0.5).one_way == 1


def test_slot_given_to_another_client_is_not_judged_by_the_first(scene: Scene) -> None:
    scene.call(ALICE)
    scene.speak(ALICE, 3)
    scene.look()
    scene.worker.down(Frame(ALICE, b"", closes=True), at_ms=scene.now_ms)
    scene.call(BOB, session=2)
    scene.speak(BOB, 30)
    assert scene.look().one_way == 0


def test_counts_that_wrap_are_understood(scene: Scene) -> None:
    scene.call(ALICE)
    scene.packets_up(0, 2**32 - 10)
    scene.look()
    scene.speak(ALICE, 20)
    assert scene.look().one_way in {0, 1}  # a wrapped count says nothing for once
    scene.speak(ALICE, 20)
    assert scene.look().one_way == 1


def test_page_replaced_during_a_look_ends_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "PIECE_SLOTS", 1)
    scene.call(ALICE)
    scene.call(BOB, session=2)
    view = scene.page.view()
    assert view is not None
    look = scene.survey.look(view, CAPACITY, scene.now_ms)
    next(look)
    scene.survey.forget()
    assert list(look) == []
    assert scene.survey.census == Census()


# --- the worst


def test_worst_calls_come_in_order(scene: Scene) -> None:
    sounds = {1: (0, 80), 2: (50, 0), 3: (5, 8), 4: (0, 0)}  # lost of 1,000; jitter in eighths of a ms
    for number in range(5):
        scene.call(Client("192.0.2.1", 50_000 + number), session=number + 1)
    for slot, (lost, jitter) in sounds.items():
        scene.packets_up(slot, 1000 - lost)
        scene.quality(slot, lost=lost, jitter=jitter, state=1, others_up=0)
    scene.look()
    slots, badness = scene.survey.worst(10)
    assert slots.tolist() == [2, 1, 3, 4]  # slot 0 has sent no media
    assert badness.tolist() == pytest.approx([5.0, 1.0, 0.6, 0.0])
    assert scene.survey.worst(2)[0].tolist() == [2, 1]
    assert scene.survey.worst(2, np.array([True, True, False, True]))[0].tolist() == [1, 3]


def test_one_way_call_is_worse_than_any_loss(scene: Scene) -> None:
    for number in range(2):
        scene.call(Client("192.0.2.1", 50_000 + number), session=number + 1)
    scene.packets_up(0, 1000)
    scene.quality(0, lost=990, state=1)
    scene.look()
    scene.speak(Client("192.0.2.1", 50_001))
    scene.look()
    assert scene.survey.worst(2)[0].tolist() == [1, 0]


# --- the cost


def test_cheap_look_is_taken_each_second() -> None:
    pace = Pace()
    pace.begin(10.0)
    for _ in pace.spend(iter([None, None])):
        continue
    pace.end(10.0)
    assert not pace.is_due(10.9)
    assert pace.is_due(11.0)


def test_dear_look_is_taken_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_s = iter([0.0, 0.1, 5.0, 5.1, 9.0, 9.0])  # two pieces of a tenth each, and the end
    monkeypatch.setattr("time.thread_time", lambda: next(cpu_s))
    pace = Pace()
    pace.begin(10.0)
    for _ in pace.spend(iter([None, None])):
        continue
    pace.end(10.0)
    assert not pace.is_due(19.9)
    assert pace.is_due(20.0)
