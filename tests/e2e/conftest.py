"""What end-to-end tests share: relay and transceiver with an eye on their logs, a browser, and a call that lasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.chromium import FAKE_MICROPHONE, Chromium
from tests.e2e.demo_page import DemoPage
from tests.e2e.stack import Stack


@pytest.fixture(scope="session")
def echo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A relay and a transceiver whose agent echoes: DTLS passive."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def stack(echo_stack: Stack) -> Iterator[Stack]:
    """The same, and a test in which one of them logs an error fails."""
    before = echo_stack.log.length
    yield echo_stack
    assert echo_stack.complaints(before) == []


@dataclass(frozen=True)
class LastingCall:
    """Begun before the first test with a browser, and looked at when all others are over."""

    tab: str
    call_id: str


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    # The name is one that no browser takes for this machine, and so lends no microphone to.
    flags = (*FAKE_MICROPHONE, "--host-resolver-rules=MAP demo.test 127.0.0.1")
    with Chromium(tmp_path_factory.mktemp("profile"), flags=flags) as running:
        yield running


@pytest.fixture(scope="session")
def lasting_call(chromium: Chromium, echo_stack: Stack) -> LastingCall:
    """A call that goes on in a tab behind those of the tests: consent must be renewed for as long as they take."""
    page = DemoPage(chromium, echo_stack.url)
    page.open()
    return LastingCall(chromium.tab, page.call())


@pytest.fixture
def browser(chromium: Chromium, lasting_call: LastingCall) -> Iterator[Chromium]:
    """The browser with an empty tab in front, closed when the test is over."""
    chromium.open_tab("about:blank")
    yield chromium
    chromium.close_tab()
    chromium.tab = lasting_call.tab


@pytest.fixture
def page(browser: Chromium, stack: Stack) -> Iterator[DemoPage]:
    """The demo page, opened. Whatever the browser complains of fails the test: scripts, content policy, requests."""
    demo = DemoPage(browser, stack.url)
    demo.open()
    yield demo
    assert browser.complaints() == []
