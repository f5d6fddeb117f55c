"""The demo page and bad news: whatever goes wrong, it says so in words, and can be tried again."""

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from tests.e2e.chromium import Chromium
from tests.e2e.scripted_server import Reply, ScriptedServer

STATE = "return document.querySelector('#stage').dataset.state === args[0]"
REFUSE_MICROPHONE = """
navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('the test says no', args[0]); };
"""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


def trouble(browser: Chromium) -> str:
    """What the page says is wrong, once it says something."""
    said: str = browser.wait(
        "const shown = document.querySelector('#trouble'); return !shown.hidden && shown.innerText"
    )
    return said


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(Reply(503, "too_many_calls", {"Retry-After": "7"}), ["All lines are busy", "in 7 s"], id="full"),
        pytest.param(Reply(503, "draining"), ["going out of service"], id="draining"),
        pytest.param(Reply(429, "too_many_offers", {"Retry-After": "1"}), ["Too many calls"], id="too fast"),
        pytest.param(Reply(400, "invalid_offer"), ["does not understand", "the test says"], id="offer refused"),
        pytest.param(Reply(403, "foreign_origin"), ["may not call here"], id="foreign origin"),
        pytest.param(Reply(500, "internal"), ["cannot be made", "the test says internal"], id="unknown code"),
        pytest.param(Reply(502), ["cannot be made", "Bad Gateway"], id="no body"),
        pytest.param(Reply(201), ["makes no sense"], id="no Location"),
        pytest.param(None, ["cannot be reached"], id="away"),
    ],
)
def test_refusal_is_explained(browser: Chromium, server: ScriptedServer, reply: Reply | None, words: list[str]) -> None:
    server.reply = reply
    browser.open(server.url)
    browser.click("#call")
    said = trouble(browser)
    assert [word for word in words if word not in said] == []
    assert browser.text("#call") == "Start talking"


@pytest.mark.parametrize(
    ("error", "title"),
    [
        pytest.param("NotAllowedError", "The microphone is not allowed", id="not allowed"),
        pytest.param("NotFoundError", "There is no microphone", id="none"),
        pytest.param("NotReadableError", "The microphone cannot be opened", id="busy"),
    ],
)
def test_missing_microphone_is_explained(browser: Chromium, server: ScriptedServer, error: str, title: str) -> None:
    browser.open(server.url)
    browser.run(REFUSE_MICROPHONE, error)
    browser.click("#call")
    assert title in trouble(browser)
    assert server.asked == [], "without a microphone nobody is called"


def test_insecure_page_is_told_apart_from_a_refusal(browser: Chromium, server: ScriptedServer) -> None:
    browser.open(server.url.replace("127.0.0.1", "demo.test"))
    browser.click("#call")
    assert "HTTPS" in trouble(browser)


def test_key_is_asked_for_and_used(browser: Chromium, server: ScriptedServer) -> None:
    server.reply = Reply(401, "invalid_api_key")
    browser.open(server.url)
    browser.click("#call")
    assert browser.wait("return document.activeElement.id === 'key'"), "one can type at once"
    server.reply = Reply(503, "draining")
    browser.press("ek_from_the_test", Keys.ENTER)
    assert browser.wait("return document.querySelector('#trouble').innerText.includes('out of service')")
    assert [asked[2] for asked in server.asked] == [None, "Bearer ek_from_the_test"]


def test_key_can_be_declined(browser: Chromium, server: ScriptedServer) -> None:
    server.reply = Reply(401, "invalid_api_key")
    browser.open(server.url)
    browser.click("#call")
    browser.wait("return document.querySelector('#key-dialog').open")
    browser.press(Keys.ESCAPE)
    assert browser.wait("return !document.querySelector('#key-dialog').open && document.activeElement.id === 'call'")
    assert "asks for a key" in trouble(browser)


def test_call_can_be_tried_again(browser: Chromium, server: ScriptedServer) -> None:
    server.reply = Reply(503, "draining")
    browser.open(server.url)
    browser.click("#call")
    trouble(browser)
    browser.click("#call")
    assert browser.wait(STATE, "failed")
    browser.wait("return !document.querySelector('#trouble').hidden")
    assert [path for _, path, _ in server.asked] == ["/v1/realtime/calls"] * 2


def test_answer_that_is_none_is_explained(browser: Chromium, server: ScriptedServer) -> None:
    server.reply = Reply(201, headers={"Location": "/v1/realtime/calls/rtc_aaaaaaaaaaaaa"})
    browser.open(server.url)
    browser.click("#call")
    assert "makes no sense" in trouble(browser)
    browser.wait("return window.peers.at(-1).connectionState === 'closed'")
    assert server.asked[-1][:2] == ("DELETE", "/v1/realtime/calls/rtc_aaaaaaaaaaaaa"), "the call is not left behind"


def test_call_is_given_up_while_it_is_made(browser: Chromium, server: ScriptedServer) -> None:
    server.is_silent = True
    browser.open(server.url)
    browser.click("#call")
    browser.wait("return document.querySelector('#state').textContent === 'Connecting'")
    browser.click("#call")
    assert browser.wait(STATE, "ended")
    assert browser.run("return document.querySelector('#trouble').hidden")
    assert browser.complaints() == []


def test_microphone_is_let_go_when_there_is_no_call(browser: Chromium, server: ScriptedServer) -> None:
    server.reply = Reply(503, "draining")
    browser.open(server.url)
    browser.run(
        "const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (wish) => (window.lent = await open(wish));"
    )
    browser.click("#call")
    trouble(browser)
    assert browser.run("return window.lent.getTracks().map((track) => track.readyState)") == ["ended"]
    assert browser.run("return window.peers.map((peer) => peer.connectionState)") == ["closed"]
