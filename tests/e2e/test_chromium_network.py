"""A browser whose network changes or goes away during a call, in a network of the test's own with addresses to take.

The browser has one interface; relay and transceiver are on the loopback beside it. Both tests make one call each.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.chromium import Chromium
from tests.e2e.demo_page import DemoPage, Heard
from tests.e2e.stack import Stack
from tests.live.namespace import ip, own_network

FIRST = "10.7.0.2/24"
SECOND = "10.7.0.3/24"
SECOND_OF_PACKETS = 50

# The address that the browser's packets come from, once it is this one.
COMES_FROM = """
const report = await window.peers.at(-1).getStats();
const transport = [...report.values()].find((entry) => entry.type === 'transport');
const pair = report.get(transport.selectedCandidatePairId);
return report.get(pair.localCandidateId)?.address === args[0];
"""


@pytest.fixture
def roaming(tmp_path: Path) -> Iterator[DemoPage]:
    """The page in a browser whose interface is called `wifi`, with a call that is heard."""
    with own_network():
        ip("link", "add", "wifi", "type", "veth", "peer", "name", "air")
        ip("link", "set", "air", "up")
        ip("link", "set", "wifi", "up")
        take_address(FIRST)
        with Stack(tmp_path) as stack, Chromium(tmp_path / "profile") as browser:
            page = DemoPage(browser, stack.url)
            page.open()
            page.call()
            page.heard(SECOND_OF_PACKETS)
            yield page
            assert stack.complaints() == []


def take_address(address: str) -> None:
    # No default route: names would be asked for along it, and a starting browser waits ten seconds for answers.
    ip("addr", "add", address, "dev", "wifi")


def lose_address(address: str) -> None:
    ip("addr", "del", address, "dev", "wifi")


def hear_again(page: DemoPage, before: Heard, within_s: float) -> Heard:
    return page.heard(before.packets + 2 * SECOND_OF_PACKETS, within_s)


def test_call_goes_on_from_another_address(roaming: DemoPage) -> None:
    call_id = roaming.call_id
    assert roaming.browser.wait(COMES_FROM, FIRST.partition("/")[0])
    lose_address(FIRST)
    take_address(SECOND)
    roaming.wait_for("interrupted")
    assert "Reconnecting" in roaming.browser.text("#state")
    before = roaming.heard()
    roaming.wait_for("live")
    after = hear_again(roaming, before, within_s=10)
    assert after.energy > before.energy
    assert roaming.browser.wait(COMES_FROM, SECOND.partition("/")[0])
    assert roaming.browser.text("#state") == "Connected again."
    assert roaming.server_knows(call_id) is not None, "it is the same call"


def test_call_survives_a_network_that_was_away(roaming: DemoPage) -> None:
    call_id = roaming.call_id
    lose_address(FIRST)
    roaming.wait_for("interrupted")
    before = roaming.heard()
    take_address(FIRST)
    roaming.wait_for("live")
    hear_again(roaming, before, within_s=10)
    assert roaming.server_knows(call_id) is not None, "it is the same call"
