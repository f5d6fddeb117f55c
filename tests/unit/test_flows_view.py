"""The flow page as an observer reads it: the layout of the headers, the core's own words, and pages that lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fastrelay._ext.relay_core import flow_page_bytes, flow_page_layout
from fastrelay.observe import flows
from fastrelay.observe.flows import ADDRESS, FLOW, HEADER, PEER, PEER_PAGE, QUALITY, FlowPage, describe, endpoint_of
from fastrelay.observe.listing import Condition, Listing
from fastrelay.observe.observed import Observed
from fastrelay.wire.address import redact
from fastrelay.wire.trunk import Client, Frame
from tests.dataplane.packets import ALICE, BOB, CAROL, DAVE, DTLS, SRTCP, SRTP, T1, T2, check, ticket
from tests.unit.observed_relay import PretendWorker, now_ms, rtp

EXT = Path(__file__).parents[2] / "ext"
SIZES = {"uint64_t": 8, "uint32_t": 4, "uint16_t": 2, "uint8_t": 1, "struct fr_address": 24, "struct fr_hash_key": 32}
CONSTANTS = {"FR_REPLAY_WINDOW / 64": 1024 // 64, "FR_PEER_INDEX": 2048, "FR_PEERS": 1024}


def header_offsets(file: str, struct: str) -> dict[str, int]:
    """Where a header puts each member: every one of these structs is packed by the order of its members."""
    body = re.findall(rf"struct {struct} \{{(.*?)\n\}};", (EXT / file).read_text(), re.DOTALL)[0]
    offsets, at = {}, 0
    for kind, names in re.findall(r"^ +((?:struct )?\w+) (\w[^;]*);", body, re.MULTILINE):
        for name, count in re.findall(r"(\w+)(?:\[([^\]]+)\])?,? ?", names):
            offsets[name] = at
            size = PEER.itemsize if kind == "struct fr_peer" else SIZES[kind]
            at += size * (CONSTANTS[count] if count else 1)
    return offsets


@pytest.fixture
def worker() -> Iterator[PretendWorker]:
    worker = PretendWorker()
    worker.start()
    yield worker
    worker.close()


@pytest.mark.parametrize(
    ("dtype", "file", "struct"),
    [
        pytest.param(HEADER, "flow/table.h", "fr_flow_page", id="page"),
        pytest.param(FLOW, "flow/table.h", "fr_flow", id="flow"),
        pytest.param(PEER, "trunk/peer.h", "fr_peer", id="peer"),
        pytest.param(PEER_PAGE, "trunk/peer.h", "fr_peer_page", id="peers"),
        pytest.param(QUALITY, "flow/quality.h", "fr_quality", id="quality"),
    ],
)
def test_offsets_are_those_of_the_header(dtype: np.dtype[np.void], file: str, struct: str) -> None:
    expected = header_offsets(file, struct)
    assert dtype.fields is not None
    ours = {name: place[1] for name, place in dtype.fields.items()}
    assert ours == {name: expected[name] for name in ours}
    if dtype is not HEADER:
        assert set(ours) == set(expected)


@pytest.mark.parametrize(("dtype", "size"), [(ADDRESS, 24), (FLOW, 64), (PEER, 256), (QUALITY, 20)])
def test_records_have_the_size_that_the_headers_assert(dtype: np.dtype[np.void], size: int) -> None:
    assert dtype.itemsize == size


@pytest.mark.parametrize(
    ("ours", "file", "macro"),
    [
        (flows.MAGIC, "flow/table.h", "PAGE_MAGIC"),
        (flows.LAYOUT_VERSION, "flow/table.h", "PAGE_LAYOUT"),
        (flows.PEERS, "limits.h", "PEERS"),
    ],
)
def test_constant_is_that_of_the_header(ours: int, file: str, macro: str) -> None:
    found = re.findall(rf"^#define FR_{macro} (\w+)", (EXT / file).read_text(), re.MULTILINE)
    assert [int(value.rstrip("u"), 0) for value in found] == [ours]


def test_states_are_those_of_the_header() -> None:
    states = re.findall(r"enum fr_flow_state \{ (.*?) \};", (EXT / "flow/table.h").read_text())[0].split(", ")
    assert states.index("FR_FLOW_UNCONFIRMED") == flows.UNCONFIRMED
    assert states.index("FR_FLOW_CONFIRMED") == flows.CONFIRMED
    media = re.findall(r"FR_QUALITY_MEDIA = (\d+)", (EXT / "flow/quality.h").read_text())
    assert [int(bit) for bit in media] == [flows.MEDIA_SEEN]


def test_flows_are_the_cores_own(worker: PretendWorker) -> None:
    moment = now_ms()
    worker.call(ALICE, session=1, at_ms=moment)
    worker.up(CAROL, check(ticket(2, T2)), at_ms=moment)
    worker.up(DAVE, check(ticket(3)), at_ms=moment)
    worker.up(ALICE, SRTP, SRTP, at_ms=moment)
    worker.down(Frame(ALICE, SRTP), at_ms=moment)
    with closing(FlowPage(worker.flow_memory)) as page:
        view = page.view()
        assert view is not None
        ours = sorted(
            (
                (*endpoint_of(flow["client"]), int(flow["client"]["scope"])),
                int(flow["via"]),
                endpoint_of(view.peers[flow["peer"]]["address"]),
                flow["session_id"].tobytes(),
                flow["state"] == flows.CONFIRMED,
                int(flow["last_seen_ms"]),
                int(flow["packets_up"]),
                int(flow["packets_down"]),
                int(flow["bytes_up"]),
            )
            for flow in view.flows
        )
        assert ours == worker.core.flows()
        del view


def test_flow_is_described_without_its_client(worker: PretendWorker) -> None:
    moment = now_ms()
    worker.call(ALICE, session=0xABC, at_ms=moment)
    worker.up(ALICE, SRTP, at_ms=moment)
    with closing(FlowPage(worker.flow_memory)) as page:
        view = page.view()
        assert view is not None
        (row,) = describe(view, np.array([0]), worker=3, now_ms=moment + 1500, one_way=np.array([True]))
        del view
    expected = {
        "worker": 3,
        "slot": 0,
        "client": redact(ALICE.ip),
        "session": "0000000000000abc",
        "transceiver": "10.0.0.1:4000",
        "state": "confirmed",
        "age_of_last_packet_s": 1.5,
        "packets_up": 2,
        "packets_down": 1,
        "is_one_way": True,
    }
    assert {name: row[name] for name in expected} == expected
    assert ALICE.ip not in str(row)


def test_flow_tells_how_its_call_sounds(worker: PretendWorker) -> None:
    moment = now_ms()
    worker.call(ALICE, at_ms=moment)
    heard = [number for number in range(100) if number % 10]
    for number in heard:
        worker.up(ALICE, rtp(number), at_ms=moment + 300 + 20 * number)
    with closing(FlowPage(worker.flow_memory)) as page:
        view = page.view()
        assert view is not None
        (row,) = describe(view, np.array([0]), worker=0, now_ms=moment + 5000, one_way=np.array([False]))
        del view
    assert row["loss_percent"] == pytest.approx(9.0, abs=0.2)  # the one before the first is not missed
    assert (row["setup_ms"], row["reordered"]) == (320, 0)
    assert row["jitter_ms"] < 5


@pytest.mark.parametrize("payload", [check(ticket(1)), DTLS, SRTCP], ids=["check", "DTLS", "SRTCP"])
def test_flow_without_media_does_not_sound(worker: PretendWorker, payload: bytes) -> None:
    worker.call(ALICE)
    worker.up(ALICE, payload)
    with closing(FlowPage(worker.flow_memory)) as page:
        view = page.view()
        assert view is not None
        (row,) = describe(view, np.array([0]), worker=0, now_ms=now_ms(), one_way=np.array([False]))
        del view
    assert (row["loss_percent"], row["jitter_ms"], row["setup_ms"]) == (None, None, None)


# --- pages that are not ours, or lie


@pytest.mark.parametrize("length", [0, 1, 63, 64, 4096])
def test_short_or_empty_memory_is_nobodys(length: int) -> None:
    with closing(FlowPage(bytes(length))) as page:
        assert page.view() is None
        assert page.capacity == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("magic", 0, id="half built"),
        pytest.param("magic", 1, id="another magic"),
        pytest.param("layout", flows.LAYOUT_VERSION + 1, id="another layout"),
        pytest.param("capacity", 0, id="no capacity"),
        pytest.param("capacity", 257, id="larger than its memory"),
        pytest.param("capacity", 2**32 - 1, id="impossible capacity"),
    ],
)
def test_page_that_is_not_ours_has_no_view(worker: PretendWorker, field: str, value: int) -> None:
    header = np.frombuffer(worker.flow_memory, HEADER, count=1)
    with closing(FlowPage(worker.flow_memory)) as page:
        assert page.view() is not None
        header[field] = value
        assert page.view() is None
    del header


def test_used_beyond_the_table_is_cut(worker: PretendWorker) -> None:
    header = np.frombuffer(worker.flow_memory, HEADER, count=1)
    header["used"] = 2**32 - 1
    with closing(FlowPage(worker.flow_memory)) as page:
        view = page.view()
        assert view is not None
        assert len(view.flows) == 256
        del view
    del header


def test_peer_index_beyond_the_table_is_not_followed(worker: PretendWorker) -> None:
    worker.call(ALICE)
    at = flow_page_layout(256)["flows"]
    record = np.frombuffer(worker.flow_memory, FLOW, count=1, offset=at)
    record["peer"] = 65_535
    with closing(FlowPage(worker.flow_memory)) as page:
        view = page.view()
        assert view is not None
        (row,) = describe(view, np.array([0]), worker=0, now_ms=now_ms(), one_way=np.array([False]))
        assert row["transceiver"] == ""
        del view
    del record


def test_page_of_noise_is_survived() -> None:
    noise = bytearray(np.random.default_rng(7).bytes(flow_page_bytes(256)))
    header = np.frombuffer(noise, HEADER, count=1)
    header["magic"], header["layout"], header["capacity"] = flows.MAGIC, flows.LAYOUT_VERSION, 256
    page = FlowPage(noise)
    view = page.view()
    assert view is not None
    slots = np.arange(len(view.flows))
    rows = describe(view, slots, worker=0, now_ms=now_ms(), one_way=np.zeros(len(slots), np.bool_))
    assert all(0 <= row["loss_percent"] <= 100 for row in rows if row["loss_percent"] is not None)
    assert all(row["age_of_last_packet_s"] >= 0 for row in rows)


def test_view_cannot_write(worker: PretendWorker) -> None:
    worker.call(ALICE)
    with closing(FlowPage(worker.flow_memory)) as page:
        view = page.view()
        assert view is not None
        with pytest.raises(ValueError, match="read-only"):
            view.flows["state"][0] = 0
        del view


def test_closed_page_lets_go_of_its_memory(worker: PretendWorker) -> None:
    page = FlowPage(worker.flow_memory)
    assert page.view() is not None
    page.close()
    assert page.view() is None
    page.close()


# --- finding flows over several workers


@pytest.fixture
def observed() -> Iterator[Observed]:
    """Two workers: clients 192.0.2.0 to .9 at the first, .10 to .19 at the second, all of one transceiver."""
    observed = Observed()
    workers = [PretendWorker(), PretendWorker()]
    for index, worker in enumerate(workers):
        core = worker.start()
        for number in range(10):
            core.insert_flow((f"192.0.2.{10 * index + number}", 5000), T1)
        observed.worker(index).replace_pages(worker.pages())
    yield observed
    observed.close()
    for worker in workers:
        worker.close()


def run(listing: Listing) -> list[tuple[int, int]]:
    for _ in listing.run(now_ms()):
        continue
    return [(row["worker"], row["slot"]) for row in listing.rows]


def test_pages_run_on_into_the_next_worker(observed: Observed) -> None:
    first = Listing(observed, Condition(), limit=15, after=None, worker=None)
    assert run(first) == [(0, slot) for slot in range(10)] + [(1, slot) for slot in range(5)]
    second = Listing(observed, Condition(), limit=15, after=first.next, worker=None)
    assert run(second) == [(1, slot) for slot in range(5, 10)]
    assert second.next is None


def test_flows_that_end_between_two_pages_move_no_other(observed: Observed) -> None:
    first = Listing(observed, Condition(), limit=5, after=None, worker=0)
    run(first)
    observed.worker(0).replace_pages(None)
    assert run(Listing(observed, Condition(), limit=15, after=first.next, worker=None)) == [(1, at) for at in range(10)]


def test_clients_of_every_kind_are_shown_as_networks(worker: PretendWorker) -> None:
    for client in (ALICE, BOB, CAROL, DAVE, Client("2001:db8:1:2:3:4:5:6", 9)):
        worker.up(client, check(ticket(1)))
    observed = Observed()
    observed.worker(0).replace_pages(worker.pages())
    listing = Listing(observed, Condition(), limit=10, after=None, worker=None)
    run(listing)
    assert [row["client"] for row in listing.rows] == [
        "192.0.2.0/24",
        "192.0.2.0/24",
        "2001:db8::/48",
        "fe80::/48",
        "2001:db8:1::/48",
    ]
    observed.close()
