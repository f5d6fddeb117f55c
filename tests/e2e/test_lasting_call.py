"""A browser's call that outlasts its consent (RFC 7675): begun before all others, which take their time meanwhile."""

from tests.e2e.chromium import Chromium
from tests.e2e.conftest import LastingCall
from tests.e2e.demo_page import DemoPage
from tests.e2e.stack import Stack

SECOND_OF_PACKETS = 50
LASTING_S = 60.0

CLOCK_SHOWS = """
const [minutes, seconds] = document.querySelector('#clock').textContent.split(':').map(Number);
return minutes * 60 + seconds >= args[0];
"""


def test_call_lives_for_longer_than_consent_lasts(chromium: Chromium, lasting_call: LastingCall, stack: Stack) -> None:
    lasted = DemoPage(chromium, stack.url)
    chromium.wait(CLOCK_SHOWS, LASTING_S, within_s=LASTING_S + 10)
    before, after = lasted.hear_on(SECOND_OF_PACKETS)
    known = lasted.server_knows(lasting_call.call_id)
    assert after.packets > 0.9 * LASTING_S * SECOND_OF_PACKETS
    assert after.energy > before.energy
    assert known is not None
    assert known["uptime_s"] >= LASTING_S
    assert chromium.text("#state") == "Connected. Say something.", "it was never interrupted"
