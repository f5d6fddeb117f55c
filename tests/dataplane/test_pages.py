"""The pages a relay is given: whose they may be, where their parts lie, and what of them is kept."""

import mmap
import socket
import struct
import time
from contextlib import closing
from ipaddress import ip_network

import pytest

from fastrelay._ext.relay_core import RelayCore, flow_page_bytes, flow_page_layout
from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.io.sockets import OpenSocket, open_listener, open_trunk
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.wire.trunk import Client, Frame, parse_header
from tests.dataplane.packets import (
    ALICE,
    ALICE_MOVED,
    ALLOWED,
    BOB,
    CAROL,
    CLUSTER,
    EPOCH_US,
    LIMITS,
    LOCALS,
    NOW_MS,
    RING,
    SRTP,
    T1,
    UNIX_S,
    check,
    close,
    down,
    ticket,
)

FLOW_BYTES, PEER_BYTES, PEER_SLOTS = 64, 256, 1024
HASH_KEY = bytes(range(32))
LAYOUT_AT, CAPACITY_AT, BYTES_AT = 8, 12, 16


def new_page(flows: int = LIMITS.flows) -> mmap.mmap:
    return mmap.mmap(-1, flow_page_bytes(flows))


def start(page: mmap.mmap | None = None, hash_key: bytes | None = HASH_KEY) -> RelayCore:
    return RelayCore(RING.entries(), ALLOWED, CLUSTER, LOCALS, LIMITS, EPOCH_US, flow_page=page, hash_key=hash_key)


def used_page() -> mmap.mmap:
    page = new_page()
    start(page).insert_flow(ALICE, T1, now_ms=NOW_MS)
    return page


# --- layout -----------------------------------------------------------------------


@pytest.mark.parametrize("flows", [1, 64, 131_072, 1_000_003])
def test_parts_of_a_page_follow_each_other(flows: int) -> None:
    layout = flow_page_layout(flows)
    assert layout["end"] == flow_page_bytes(flows)
    assert layout["flows"] + flows * FLOW_BYTES <= layout["end"]
    assert layout["peers"] + PEER_SLOTS * PEER_BYTES < layout["flows"]
    assert all(offset % 64 == 0 for name, offset in layout.items() if name != "end")


def test_layout_says_where_the_flows_are() -> None:
    page = used_page()
    at = flow_page_layout(LIMITS.flows)["flows"]
    assert page[at + 8 : at + 16] == b"\0\0\xff\xff" + bytes([192, 0, 2, 1])


def test_layout_of_an_impossible_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        flow_page_layout(0)


# --- the hash key -----------------------------------------------------------------


def test_new_page_takes_the_hash_key_and_one_taken_over_keeps_its_own() -> None:
    page = new_page()
    assert start(page).hash_key == HASH_KEY
    assert start(page, hash_key=bytes(32)).hash_key == HASH_KEY


def test_hash_key_is_random_when_none_is_given() -> None:
    assert start(hash_key=None).hash_key != start(hash_key=None).hash_key


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_hash_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"hash key has {length} bytes"):
        start(hash_key=bytes(length))


# --- siblings ---------------------------------------------------------------------


def media(core: RelayCore) -> Verdict:
    """What becomes of Alice's next packet."""
    verdicts, _ = core.handle_up([(SRTP, ALICE, 0)], NOW_MS, UNIX_S)
    return list(Verdict)[verdicts[0]]


def edited(at: int, value: int, form: str = "<I") -> mmap.mmap:
    page = used_page()
    page[at : at + struct.calcsize(form)] = struct.pack(form, value)
    return page


@pytest.mark.parametrize(
    "page",
    [
        mmap.mmap(-1, 64),
        b"",
        edited(0, 0x1234, "<Q"),
        edited(CAPACITY_AT, LIMITS.flows + 1),
        edited(CAPACITY_AT, 0),
        edited(BYTES_AT, 1 << 40, "<Q"),
        memoryview(used_page())[: flow_page_bytes(LIMITS.flows) - 1],
        memoryview(new_page())[8:],
    ],
    ids=["short", "none", "magic", "other capacity", "no capacity", "other length", "cut", "misaligned"],
)
def test_sibling_that_is_no_flow_page_is_refused_and_changes_nothing(page: mmap.mmap | memoryview | bytes) -> None:
    core = start()
    core.set_siblings([used_page()])
    with pytest.raises(ValueError, match="sibling 1 is not a flow page"):
        core.set_siblings([new_page(), page])
    assert media(core) is Verdict.UP_SRTP


def test_sibling_may_be_read_only() -> None:
    core = start()
    core.set_siblings([memoryview(used_page()).toreadonly()])
    assert media(core) is Verdict.UP_SRTP


def test_no_more_siblings_are_taken_than_there_is_room_for() -> None:
    page = new_page(1)
    core = start()
    core.set_siblings([page] * 256)
    with pytest.raises(ValueError, match="257 siblings, at most 256"):
        core.set_siblings([page] * 257)


@pytest.mark.parametrize("page_layout", [0, 1], ids=["empty", "of another release"])
def test_sibling_whose_worker_comes_later_is_looked_at_from_then_on(page_layout: int) -> None:
    page = new_page() if page_layout == 0 else edited(LAYOUT_AT, page_layout)
    core = start()
    core.set_siblings([page])
    assert media(core) is Verdict.UNKNOWN_CLIENT
    start(page).insert_flow(ALICE, T1, now_ms=NOW_MS)
    assert media(core) is Verdict.UP_SRTP


def test_page_stays_mapped_while_it_is_a_sibling() -> None:
    core, page = start(), used_page()
    core.set_siblings([page])
    with pytest.raises(BufferError):
        page.close()
    core.set_siblings([])
    page.close()


# --- local addresses --------------------------------------------------------------

A, V6, B = LOCALS


def start_at(page: mmap.mmap, *locals_: tuple[str, int]) -> RelayCore:
    return RelayCore(RING.entries(), ALLOWED, CLUSTER, locals_, LIMITS, EPOCH_US, flow_page=page)


def vias(core: RelayCore) -> dict[str, int]:
    return {flow[0][0]: flow[1] for flow in core.flows()}


def answered(core: RelayCore, client: Client, sequence: int, via: int = 0) -> tuple[str, list[int]]:
    """What becomes of a frame to the client, and the local addresses it leaves from."""
    datagram = down(Frame(client, SRTP), sequence=sequence, via=via)
    _, frames, sent = core.handle_down([(T1, datagram)], NOW_MS, UNIX_S)
    return list(Verdict)[frames[0]].name, [left[1] for left in sent]


def test_via_means_the_same_address_whatever_a_successor_listens_on() -> None:
    page = new_page()
    start_at(page, A, V6, B).insert_flow(ALICE, T1, via=2)
    for sequence, locals_ in enumerate([(B, A), (B,), (V6, B, A), (("198.51.100.0", 3478), B)], start=1):
        core = start_at(page, *locals_)
        assert vias(core) == {ALICE.ip: 2}
        assert core.handle_up([(SRTP, ALICE, 2)], NOW_MS, UNIX_S)[0] == [Verdict.UP_SRTP]
        assert answered(core, ALICE, sequence, via=0) == ("DOWN_FORWARDED", [2])


def test_lost_flow_is_answered_from_where_its_via_says_across_restarts() -> None:
    page = new_page()
    start_at(page, A, V6, B)
    core = start_at(page, ("198.51.100.0", 3478), B, A)
    for sequence, (client, via) in enumerate([(ALICE, 0), (BOB, 2), (ALICE_MOVED, 3)], start=1):
        assert answered(core, client, sequence, via) == ("DOWN_RECREATED", [via])


def test_flow_of_an_address_that_is_gone_is_answered_from_another_of_its_family() -> None:
    page = new_page()
    before = start_at(page, A, V6, B)
    before.insert_flow(ALICE, T1, via=0)
    before.insert_flow(CAROL, T1, via=1)
    core = start_at(page, B)
    assert vias(core) == {ALICE.ip: 2}  # nothing that listens reaches Carol
    assert core.counters()[2]["flows_closed"] == 1
    assert answered(core, ALICE, 1) == ("DOWN_FORWARDED", [2])
    assert answered(core, BOB, 2, via=0) == ("DOWN_RECREATED", [2])
    assert answered(core, CAROL, 3, via=1) == ("DOWN_BAD_ADDRESS", [])


@pytest.mark.parametrize("via", [0, 1, 3])
def test_address_that_nobody_serves_receives_nothing(via: int) -> None:
    page = new_page()
    start_at(page, A, V6, B)
    core = start_at(page, B)
    with pytest.raises(ValueError, match=f"via {via} is not the index"):
        core.handle_up([(SRTP, ALICE, via)], NOW_MS, UNIX_S)
    with pytest.raises(ValueError, match=f"via {via} is not the index"):
        core.insert_flow(ALICE, T1, via=via)


def test_own_address_counts_as_such_only_while_it_is_listened_on() -> None:
    page = new_page()
    start_at(page, A, B)
    core = start_at(page, B)
    own, former = Client(*B), Client(*A)
    verdicts, _ = core.handle_up([(SRTP, own, 1), (SRTP, former, 1)], NOW_MS, UNIX_S)
    assert [list(Verdict)[verdict].name for verdict in verdicts] == ["BAD_SOURCE", "UNKNOWN_CLIENT"]


def test_flow_with_an_impossible_via_is_answered_all_the_same() -> None:
    page = new_page()
    start_at(page, A, B).insert_flow(ALICE, T1)
    page[flow_page_layout(LIMITS.flows)["flows"] + 42] = 255
    assert vias(start_at(page, A, B)) == {ALICE.ip: 0}


# --- a wildcard listener ----------------------------------------------------------


def listen_anywhere(page: mmap.mmap, listener: OpenSocket, trunk: OpenSocket) -> RelayLoop:
    """A worker of a host that knows of 127.0.0.1 alone."""
    opened = listener.socket
    return RelayLoop(
        RING.entries(),
        [ip_network("127.0.0.0/8")],
        CLUSTER,
        [(0, "127.0.0.1", listener.port, 0)],
        LIMITS,
        EPOCH_US,
        listeners=[(opened.fileno(), opened.family, listener.ip, listener.port, True, True)],
        trunk=(trunk.socket.fileno(), trunk.socket.family),
        flow_page=page,
    )


def test_learned_address_is_answered_from_after_a_restart_before_its_client_speaks() -> None:
    page, learned = new_page(), "127.0.0.77"
    with (
        closing(open_listener("0.0.0.0", 0).socket) as at_clients,
        closing(open_trunk("127.0.0.1", 0).socket) as at_trunk,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as transceiver,
    ):
        listener = OpenSocket(at_clients, "0.0.0.0", at_clients.getsockname()[1])
        trunk = OpenSocket(at_trunk, *at_trunk.getsockname())
        for end in (client, transceiver):
            end.bind(("127.0.0.1", 0))
            end.settimeout(5)
        admission = ticket(1, transceiver.getsockname(), minted_at_s=int(time.time()))
        client.sendto(check(admission), (learned, listener.port))
        listen_anywhere(page, listener, trunk).run(20)
        heard, relay_address = transceiver.recvfrom(2048)
        via = parse_header(heard).via
        as_client = Client(*client.getsockname())
        successor = listen_anywhere(page, listener, trunk)
        transceiver.sendto(down(close(as_client), sequence=1, via=via), relay_address)
        transceiver.sendto(down(Frame(as_client, SRTP), sequence=2, via=via), relay_address)
        successor.run(20)
        assert client.recvfrom(2048) == (SRTP, (learned, listener.port))
        assert successor.counters()[0]["DOWN_RECREATED"] == 1
