"""Call quality as the compiled relay reads it from the RTP of its clients: exact where the losses are known.

The readable twin has no say here: quality decides nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

import numpy as np
import pytest

from fastrelay._ext.relay_core import RelayCore, counter_page_bytes, flow_page_bytes, flow_page_layout
from fastrelay.observe.counters import CounterPage, Counts, journal, percentile
from fastrelay.observe.flows import QUALITY
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.wire.trunk import Client, Frame
from tests.dataplane import packets
from tests.dataplane.packets import ALICE, BOB, DTLS, NOW_MS, SRTCP, T1, T2, UNIX_S

LIMITS = Limits(flows=512, peers=8, source_admissions_burst=4000, admissions_burst=4000)
MEDIA, WAS_DTLS, TIMED = 1, 2, 4


class Quality(NamedTuple):
    """What the record of a flow says; RTP packets are the flow's packets less the others."""

    rtp: int
    others: int
    lost: int
    jitter: int
    setup_ms: int
    reordered: int
    state: int


@dataclass
class Watched:
    """A compiled relay, its pages as another process reads them, and a clock."""

    page: CounterPage
    flow_page: mmap.mmap
    relay: RelayCore
    now_ms: int = NOW_MS
    down_sequence: int = 0

    def up(self, *arrivals: tuple[bytes, Client]) -> list[int]:
        batch = [(packet, (client.ip, client.port, client.scope), 0) for packet, client in arrivals]
        return self.relay.handle_up(batch, self.now_ms, UNIX_S)[0]

    def down(self, *frames: Frame) -> list[int]:
        self.down_sequence += 1
        return self.relay.handle_down([(T1, packets.down(*frames, sequence=self.down_sequence))], self.now_ms, UNIX_S)[
            1
        ]

    def admit(self, client: Client, session: int = 1) -> None:
        """By a check that T1 answers."""
        self.up((packets.check(packets.ticket(session)), client))
        self.down(Frame(client, b"answer"))

    def quality(self, client: Client) -> Quality:
        layout = flow_page_layout(LIMITS.flows)
        flows = np.frombuffer(self.flow_page, "V64", count=LIMITS.flows, offset=layout["flows"])
        head = bytes(10) + b"\xff\xff" + IPv4Address(client.ip).packed + bytes(4) + client.port.to_bytes(2, "big")
        slot = next(at for at, flow in enumerate(flows) if flow.tobytes().startswith(head))
        packets_up = int.from_bytes(flows[slot].tobytes()[52:56], "little")
        record = np.frombuffer(self.flow_page, QUALITY, count=LIMITS.flows, offset=layout["qualities"])[slot]
        others = int(record["others_up"])
        figures = (int(record[name]) for name in ("lost", "jitter", "setup_ms", "reordered", "state"))
        return Quality(packets_up - others, others, *figures)


def make_relay(flow_page: mmap.mmap, counter_page: mmap.mmap) -> RelayCore:
    return RelayCore(
        packets.RING.entries(),
        packets.ALLOWED,
        packets.CLUSTER,
        packets.LOCALS,
        LIMITS,
        packets.EPOCH_US,
        flow_page=flow_page,
        counter_page=counter_page,
    )


@pytest.fixture
def counter_page() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, counter_page_bytes()) as memory:
        yield memory


@pytest.fixture
def watched(counter_page: mmap.mmap) -> Iterator[Watched]:
    flow_page = mmap.mmap(-1, flow_page_bytes(LIMITS.flows))
    with closing(CounterPage(counter_page)) as page:
        yield Watched(page, flow_page, make_relay(flow_page, counter_page))


def rtp(sequence: int, *, ssrc: int = 0x1234, timestamp: int | None = None) -> bytes:
    """20 ms of speech at 48 kHz."""
    ticks = sequence * 960 if timestamp is None else timestamp
    head = b"\x80\x6f" + (sequence % 2**16).to_bytes(2, "big") + (ticks % 2**32).to_bytes(4, "big")
    return head + ssrc.to_bytes(4, "big") + b"speech"


def only_sample(histogram: Counts) -> float | None:
    assert histogram.sum() == 1
    return percentile(histogram, 100)


# --- small batches: every packet is looked at


def test_losses_of_a_call_are_counted_exactly_over_the_wrap(watched: Watched) -> None:
    watched.admit(ALICE)
    lost = {65_000, 65_535, 65_536, 65_540}
    for sequence in range(64_990, 66_000):
        watched.now_ms += 20
        if sequence not in lost:
            watched.up((rtp(sequence), ALICE))
    quality = watched.quality(ALICE)
    assert (quality.rtp, quality.others, quality.lost, quality.reordered) == (1010 - len(lost), 1, len(lost), 0)
    assert quality.jitter == 0


def test_packets_of_one_client_in_one_batch_are_told_apart(watched: Watched) -> None:
    watched.admit(ALICE)
    for start in range(0, 1600, 16):
        watched.now_ms += 320
        watched.up(*((rtp(sequence), ALICE) for sequence in range(start, start + 16) if sequence % 16 != 7))
    quality = watched.quality(ALICE)
    assert (quality.rtp, quality.lost, quality.reordered) == (1500, 100, 0)


def test_clients_in_one_batch_do_not_count_against_each_other(watched: Watched) -> None:
    watched.admit(ALICE)
    watched.admit(BOB, session=2)
    for sequence in range(200):
        arrivals = [(rtp(sequence), ALICE), (rtp(5000 + sequence, ssrc=9), BOB)]
        watched.up(*(arrivals[:1] if sequence % 20 == 5 else arrivals))
    assert (watched.quality(ALICE).lost, watched.quality(BOB).lost) == (0, 10)


def test_swapped_packets_are_reordered_and_not_lost(watched: Watched) -> None:
    watched.admit(ALICE)
    order = [*range(10), 11, 10, *range(12, 30), 31, 30, 32]
    for sequence in order:
        watched.up((rtp(sequence), ALICE))
    quality = watched.quality(ALICE)
    assert (quality.lost, quality.reordered) == (0, 2)


def test_what_is_no_rtp_is_no_loss(watched: Watched) -> None:
    ticket = packets.ticket()
    watched.admit(ALICE)
    for sequence in range(100):
        watched.up((SRTCP, ALICE), (rtp(sequence), ALICE), (packets.check(ticket, sequence), ALICE), (DTLS, ALICE))
    watched.up((packets.RESPONSE, ALICE))
    quality = watched.quality(ALICE)
    assert (quality.rtp, quality.others, quality.lost) == (100, 1 + 300 + 1, 0)
    assert quality.state == MEDIA | WAS_DTLS | TIMED


def test_another_stream_begins_anew_and_keeps_the_losses(watched: Watched) -> None:
    watched.admit(ALICE)
    for sequence in (*range(10), *range(13, 20)):
        watched.up((rtp(sequence), ALICE))
    for sequence in (*range(40_000, 40_010), *range(40_012, 40_020)):
        watched.up((rtp(sequence, ssrc=77, timestamp=sequence * 960 + 12345), ALICE))
    assert watched.quality(ALICE).lost == 3 + 2


def test_jitter_is_what_rfc_3550_makes_of_it(watched: Watched) -> None:
    watched.admit(ALICE)
    expected, previous_ms = 0.0, 0
    for sequence in range(400):
        delay_ms = (sequence * 37) % 23
        watched.now_ms = NOW_MS + 20 * sequence + delay_ms
        watched.up((rtp(sequence), ALICE))
        if sequence:
            expected += (abs(delay_ms - previous_ms) - expected) / 16
        previous_ms = delay_ms
    assert watched.quality(ALICE).jitter / 8 == pytest.approx(expected, abs=0.5)


def test_hostile_rtp_spoils_its_own_figures_alone(watched: Watched) -> None:
    random = np.random.default_rng(3550)
    watched.admit(ALICE)
    watched.admit(BOB, session=2)
    for sequence in range(2000):
        watched.up((b"\x80" + bytes([random.integers(192)]) + random.bytes(10), BOB), (rtp(sequence), ALICE))
        watched.up((b"\x80\x6f", BOB))
        watched.now_ms += 20
    assert watched.quality(ALICE) == (2000, 1, 0, 0, 1, 0, MEDIA | TIMED)


# --- large batches: a few packets of each are looked at


def crowd(watched: Watched, count: int) -> list[Client]:
    clients = [Client(f"203.0.113.{number}", 50_000) for number in range(count)]
    for number, client in enumerate(clients):
        watched.admit(client, session=number + 1)
    return clients


def all_send(watched: Watched, clients: list[Client], sequence: int, batch: int) -> None:
    for start in range(0, len(clients), batch):
        watched.up(*((rtp(sequence), client) for client in clients[start : start + batch]))


def test_loss_is_exact_though_only_a_few_packets_are_looked_at(watched: Watched) -> None:
    clients = crowd(watched, 120)
    all_send(watched, clients, 65_500, batch=16)
    random = np.random.default_rng(5)
    lost = np.zeros(len(clients), int)
    for sequence in range(65_501, 65_900):
        watched.now_ms += 20
        is_lost = random.random(len(clients)) < 0.07
        lost += is_lost
        watched.up(*((rtp(sequence), client) for client, here in zip(clients, is_lost, strict=True) if not here))
    before = [watched.quality(client).lost for client in clients]
    watched.now_ms += 20
    all_send(watched, clients, 65_900, batch=16)
    assert [watched.quality(client).lost for client in clients] == lost.tolist()
    # and hardly less before the last look: each is looked at about once in thirty packets
    assert sum(before) > 0.9 * lost.sum()
    assert {watched.quality(client).jitter for client in clients} == {0}


def test_stream_that_begins_in_large_batches_is_counted_from_its_first_look(watched: Watched) -> None:
    clients = crowd(watched, 200)
    for sequence in range(400):
        watched.now_ms += 20
        if sequence % 10 != 7:
            all_send(watched, clients, sequence, batch=200)
    qualities = [watched.quality(client) for client in clients]
    assert all(quality.state & MEDIA for quality in qualities)
    assert max(quality.lost for quality in qualities) <= 40
    assert sum(quality.lost for quality in qualities) > 0.7 * 40 * len(clients)
    # first looked at later, but reckoned back to where its media began
    assert {quality.setup_ms for quality in qualities} <= set(range(20, 20 + 20 * 40 + 1))


# --- the account of a call


def test_call_counts_once_when_it_ends(watched: Watched) -> None:
    watched.up((packets.check(packets.ticket()), ALICE))
    watched.down(Frame(ALICE, b"answer"))
    watched.now_ms += 100
    watched.up((DTLS, ALICE))
    watched.now_ms += 300
    for sequence in range(100):
        if sequence % 10 != 3:
            watched.up((rtp(sequence), ALICE))
        watched.now_ms += 20
    reading = watched.page.read()
    assert only_sample(reading.call_setup_us) == pytest.approx(400_000, rel=1 / 8)
    assert only_sample(reading.call_media_us) == pytest.approx(300_000, rel=1 / 8)
    assert reading.call_loss.sum() == 0
    assert watched.quality(ALICE).setup_ms == 400
    watched.down(packets.close(ALICE))
    reading = watched.page.read()
    assert only_sample(reading.call_loss) == pytest.approx(1000, rel=1 / 8)
    assert only_sample(reading.call_jitter_us) == 0


def test_client_that_comes_back_to_the_slot_begins_with_a_clean_record(watched: Watched) -> None:
    watched.admit(ALICE)
    for sequence in (*range(60), *range(70, 80)):
        watched.up((rtp(sequence), ALICE))
    watched.down(packets.close(ALICE))
    watched.admit(BOB)
    assert watched.quality(BOB) == (0, 1, 0, 0, 0, 0, TIMED)


def test_flow_made_again_from_the_trunk_has_no_set_up(watched: Watched) -> None:
    watched.down(Frame(ALICE, b"a flow that was lost"))
    watched.now_ms += 50
    watched.up((rtp(7), ALICE))
    watched.now_ms += 20
    watched.up((rtp(8), ALICE))
    assert watched.quality(ALICE) == (2, 0, 0, 0, 0, 0, MEDIA)
    assert watched.page.read().call_setup_us.sum() == 0


def test_figures_outlive_the_worker(watched: Watched, counter_page: mmap.mmap) -> None:
    watched.admit(ALICE)
    watched.up(*((rtp(sequence), ALICE) for sequence in (0, 1, 4)))
    successor = Watched(watched.page, watched.flow_page, make_relay(watched.flow_page, counter_page))
    assert successor.quality(ALICE).lost == 2
    successor.up((rtp(6), ALICE))
    assert successor.quality(ALICE).lost == 3


def test_flow_taken_over_from_a_sibling_is_measured_anew_and_has_no_set_up(
    watched: Watched, counter_page: mmap.mmap
) -> None:
    watched.admit(ALICE)
    for sequence in (*range(30), *range(40, 60)):
        watched.up((rtp(sequence), ALICE))
    own_page = mmap.mmap(-1, flow_page_bytes(LIMITS.flows))
    sibling = Watched(watched.page, own_page, make_relay(own_page, counter_page))
    sibling.relay.set_siblings([watched.flow_page])
    for sequence in (*range(60, 80), *range(82, 90)):
        sibling.up((rtp(sequence), ALICE))
    assert sibling.quality(ALICE)[:3] == (28, 0, 2)
    assert (sibling.quality(ALICE).setup_ms, sibling.quality(ALICE).state) == (0, MEDIA)
    assert watched.page.read().call_setup_us.sum() == 1
    assert [entry.kind for entry in journal(watched.page)] == ["created", "confirmed", "adopted"]


def test_journal_tells_the_life_of_each_flow(watched: Watched) -> None:
    watched.admit(ALICE)
    watched.up((packets.check(packets.ticket(2, to=T2)), ALICE))
    watched.down(Frame(BOB, b"lost"))
    watched.down(packets.close(BOB))
    watched.now_ms += LIMITS.idle_after_ms + 1
    watched.relay.sweep(watched.now_ms)
    told = [(entry.kind, entry.client, entry.session_id[-1], entry.transceiver) for entry in journal(watched.page)]
    alice, bob = ALICE[:2], BOB[:2]
    assert told == [
        ("created", alice, 1, T1),
        ("confirmed", alice, 1, T1),
        ("repointed", alice, 2, T2),
        ("recreated", bob, 0, T1),
        ("closed", bob, 0, T1),
        ("expired_idle", alice, 2, T2),
    ]
