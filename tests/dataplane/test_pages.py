"""The pages a relay is given: whose they may be, where their parts lie, and what of them is kept."""

import mmap
import struct

import pytest

from fastrelay._ext.relay_core import RelayCore, flow_page_bytes, flow_page_layout
from fastrelay.relay.dataplane.verdict import Verdict
from tests.dataplane.packets import ALICE, ALLOWED, CLUSTER, EPOCH_US, LIMITS, LOCALS, NOW_MS, RING, SRTP, T1, UNIX_S

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
