"""Calls of a real browser through relay and transceiver to the echo, on the demo page."""

from tests.e2e.demo_page import DemoPage, Heard

SECOND_OF_PACKETS = 50
WINDOWS = 5

# The page's own modules, by the edition's path.
RESTART_ICE = """
const module = document.querySelector('script[type=module]').src;
const { fragmentOf, renewedAnswer } = await import(new URL('fragment.js', module));
const peer = window.peers.at(-1);
const ufrag = (description) => description.sdp.match(/a=ice-ufrag:(\\S+)/)[1];
const before = ufrag(peer.remoteDescription);
peer.restartIce();
await peer.setLocalDescription();
const response = await fetch(`/whip/${args[0]}`, {
  method: 'PATCH',
  headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '"*"' },
  body: fragmentOf(peer.localDescription.sdp),
});
const sdp = renewedAnswer(peer.remoteDescription.sdp, await response.text());
await peer.setRemoteDescription({ type: 'answer', sdp });
return { status: response.status, before, after: ufrag(peer.remoteDescription) };
"""
# The pair in use is another one than before, and has been answered.
MOVED_PAIR = """
const report = await window.peers.at(-1).getStats();
const transport = [...report.values()].find((entry) => entry.type === 'transport');
const pair = report.get(transport.selectedCandidatePairId);
window.pair ??= pair.id;
return pair.id !== window.pair && pair.state === 'succeeded' && transport.iceState === 'connected';
"""
QUIET = """
const report = await window.peers.at(-1).getStats();
const heard = [...report.values()].find((entry) => entry.type === 'inbound-rtp');
const history = (window.energies ??= []);
history.push({ at: performance.now(), energy: heard.totalAudioEnergy });
const earlier = history.findLast((entry) => entry.at < performance.now() - 1500);
return earlier !== undefined && heard.totalAudioEnergy - earlier.energy < 1e-6;
"""


def steady(page: DemoPage) -> tuple[Heard, Heard]:
    """Two seconds of about 50 packets each: a browser that starts beside other work has a microphone that stutters."""
    windows = []
    for _ in range(WINDOWS):
        before, after = page.hear_on(2 * SECOND_OF_PACKETS)
        windows.append((after.packets - before.packets) / (after.at_s - before.at_s))
        if 45 < windows[-1] < 55:
            return before, after
    raise AssertionError(f"packets a second: {windows}")


def test_audio_flows_both_ways(page: DemoPage) -> None:
    call_id = page.call()
    before, after = steady(page)
    assert after.energy > before.energy, "the microphone beeps every second"
    assert after.lost == 0
    known = page.server_knows(call_id)
    assert known is not None
    assert known["incoming"]["packets"] > 2 * SECOND_OF_PACKETS
    assert known["incoming"]["lost"] == 0


def test_page_shows_both_views_of_the_call(page: DemoPage) -> None:
    page.call()
    for figure in (
        "rtt-path",
        "rtt-server",
        "jitter-you",
        "jitter-agent",
        "loss-agent",
        "bitrate-you",
        "bitrate-agent",
    ):
        shown = page.browser.wait(
            "const shown = document.querySelector(`[data-figure=${args[0]}]`).textContent;"
            "return shown !== '–' && shown",
            figure,
        )
        assert float(shown) >= 0
    phases = page.browser.run(
        "return [...document.querySelectorAll('#timeline .lasted')].map((end) => end.textContent)"
    )
    assert [phase.endswith(" ms") for phase in phases] == [True] * 5
    relay = page.browser.run("return document.querySelector('[data-fact=relay]').textContent")
    assert relay.startswith("127.0.0.1:"), "answers contain the relay's address and no other"


def test_telemetry_comes_over_the_data_channel(page: DemoPage) -> None:
    page.browser.run(
        "window.asked = []; const ask = window.fetch;"
        "window.fetch = (...what) => { window.asked.push(String(what[0])); return ask(...what); };"
    )
    page.call()
    page.browser.wait("return document.querySelector('[data-figure=rtt-server]').textContent !== '–'")
    page.hear_on(2 * SECOND_OF_PACKETS)
    asked = page.browser.run("return window.asked.filter((path) => path.endsWith('/stats')).length")
    assert asked <= 2, "HTTP is asked only until the channel speaks"


def test_typed_words_go_over_the_data_channel_and_come_back(page: DemoPage) -> None:
    page.call()
    words = "Größe, 語, and <b>no markup</b>"
    page.browser.wait("return !document.querySelector('#compose').classList.contains('is-closed')")
    page.browser.run(
        "document.querySelector('#text').value = args[0]; document.querySelector('#compose').requestSubmit()", words
    )
    page.browser.wait("return document.querySelectorAll('#messages li').length === 2")
    assert page.browser.run(
        "return [...document.querySelectorAll('#messages li')].map((said) => said.textContent)"
    ) == [
        f"You {words}",
        f"Agent {words}",
    ]


def test_reloaded_page_begins_another_call_and_ends_the_old(page: DemoPage) -> None:
    first = page.call()
    page.browser.reload()
    assert page.server_knows(first) is None, "leaving the page hangs up"
    second = page.call()
    assert second != first
    page.heard(SECOND_OF_PACKETS)


def test_muted_microphone_is_silent_and_comes_back(page: DemoPage) -> None:
    page.call()
    _, loud = page.hear_on(2 * SECOND_OF_PACKETS)
    assert loud.energy > 0
    page.browser.click("#mute")
    assert page.browser.text("#state").startswith("Muted")
    page.browser.wait(QUIET, within_s=15)
    silent = page.heard()
    page.browser.click("#mute")
    _, again = page.hear_on(2 * SECOND_OF_PACKETS)
    assert again.energy > silent.energy + 1e-4


def test_ice_restart_goes_on_with_other_credentials(page: DemoPage) -> None:
    call_id = page.call()
    before = page.heard(SECOND_OF_PACKETS)
    page.browser.run(MOVED_PAIR)
    restarted = page.browser.run(RESTART_ICE, call_id)
    assert restarted["status"] == 200
    assert restarted["after"] != restarted["before"]
    page.browser.wait(MOVED_PAIR)
    after = page.heard(before.packets + 2 * SECOND_OF_PACKETS)
    assert after.lost == before.lost
    known = page.server_knows(call_id)
    assert known is not None, "the session is the same"
    assert page.browser.text("#state") == "Connected. Say something."


def test_another_microphone_is_taken_during_the_call(page: DemoPage) -> None:
    page.call()
    page.heard(SECOND_OF_PACKETS)
    before = page.browser.run("return window.peers.at(-1).getSenders()[0].track.id")
    page.browser.run(
        "const choice = document.querySelector('#microphone'); choice.selectedIndex = choice.options.length - 1;"
        "choice.dispatchEvent(new Event('change'));"
    )
    page.browser.wait("return window.peers.at(-1).getSenders()[0].track.id !== args[0]", before)
    heard, later = page.hear_on(2 * SECOND_OF_PACKETS)
    assert later.energy > heard.energy


def test_call_ended_by_the_other_side_is_noticed(page: DemoPage) -> None:
    call_id = page.call()
    page.heard(SECOND_OF_PACKETS)
    page.server_hangs_up(call_id)
    page.wait_for("failed", within_s=3)
    assert "has hung up" in page.browser.text("#trouble")
    assert page.call() != call_id, "and one can call again"
