"""Which key a relay sends with, when its clock and the key ring's do not agree."""

from dataclasses import replace

import pytest

from fastrelay.routing.keys import Key, KeyRing
from fastrelay.wire.trunk import check_mac, parse_header
from tests.dataplane.conftest import MakeCore
from tests.dataplane.cores import Setup
from tests.dataplane.packets import ALICE, COMING, CURRENT, UNIX_S, check, ticket

LATER = replace(COMING, id=7, mint_from_s=COMING.mint_from_s + 1)
TWIN_OF_COMING = replace(COMING, id=5)
ENDING = replace(CURRENT, open_until_s=UNIX_S + 1)


@pytest.mark.parametrize(
    ("keys", "unix_s", "sender"),
    [
        pytest.param([CURRENT, COMING], UNIX_S, CURRENT, id="the key that mints"),
        pytest.param([COMING], UNIX_S, COMING, id="the clock is behind: the key that will mint"),
        pytest.param([LATER, COMING], UNIX_S, COMING, id="of two to come the first"),
        pytest.param([COMING, TWIN_OF_COMING], UNIX_S, TWIN_OF_COMING, id="of equals the highest id"),
        pytest.param([ENDING, COMING], UNIX_S + 1, COMING, id="the one before has ended"),
    ],
)
def test_a_relay_sends_with_the_minting_key_or_the_next(
    make_core: MakeCore, keys: list[Key], unix_s: int, sender: Key
) -> None:
    core = make_core(Setup(ring=KeyRing(tuple(keys))))
    upward = core.up([(check(ticket(key=sender)), ALICE, 0)], unix_s=unix_s)
    assert upward.verdicts == ["UP_ADMITTED"]
    ((_, datagram),) = upward.datagrams
    header = parse_header(datagram)
    assert header.key_id == sender.id
    check_mac(datagram, header, sender.trunk_key)


def test_a_ring_that_has_ended_sends_nothing(make_core: MakeCore) -> None:
    core = make_core(Setup(ring=KeyRing((ENDING,))))
    hello = check(ticket())
    assert core.up([(hello, ALICE, 0)]).verdicts == ["UP_ADMITTED"]
    upward = core.up([(hello, ALICE, 0)], unix_s=UNIX_S + 1)
    assert (upward.verdicts, upward.datagrams) == (["UP_STUN"], [])
