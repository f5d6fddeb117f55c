"""The demo page for everyone: by keyboard alone, by ear, on a small screen, in either scheme, with less motion."""

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.e2e.chromium import Chromium
from tests.e2e.demo_page import DemoPage

CONTRAST_AA = 4.5  # WCAG 1.4.3; large text may have less, and is held to the same here
EDGE_CONTRAST_AA = 3.0  # WCAG 1.4.11: what shows where a control is
TARGET_PX = 44  # WCAG 2.5.5
NARROW_PX = 320  # WCAG 1.4.10
SECOND_OF_PACKETS = 50

# Text elements whose colour stands too little off the background behind them, with both colours.
LOW_CONTRAST = """
const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const colour = channels(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return channels(getComputedStyle(document.documentElement).backgroundColor);
};
const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
const isSeen = (element) => element.checkVisibility() && !element.matches('.unseen, .unseen *, .skip, :disabled');
const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
const found = [];
for (const element of document.querySelectorAll('body *')) {
  if (!isSeen(element)) continue;
  const style = getComputedStyle(element);
  if (hasText(element)) {
    const contrast = ratio(light(channels(style.color)), light(ground(element)));
    if (contrast < args[0]) found.push(`text of ${element.outerHTML.slice(0, 80)}: ${contrast.toFixed(2)}`);
  }
  if (element.matches('input, select')) {
    const contrast = ratio(light(channels(style.borderTopColor)), light(ground(element.parentElement)));
    if (contrast < args[1]) found.push(`edge of ${element.outerHTML.slice(0, 80)}: ${contrast.toFixed(2)}`);
  }
}
return found;
"""
SMALL_TARGETS = """
return [...document.querySelectorAll('button, select, input')]
  .filter((control) => control.checkVisibility())
  .map((control) => [control.id || control.name, control.getBoundingClientRect()])
  .filter(([, box]) => box.height < args[0] || box.width < args[0])
  .map(([name, box]) => `${name} ${box.width} x ${box.height}`);
"""
LANDMARKS = """
return [...document.querySelectorAll('header, main, footer')].map((part) => part.localName);
"""


def accessible(browser: Chromium) -> list[tuple[str, str]]:
    """What a screen reader is told of, in order: (role, name)."""
    nodes: list[dict[str, Any]] = browser.cdp("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] not in ("none", "InlineTextBox")
    ]


def focused(browser: Chromium) -> str:
    name: str = browser.run(
        "return document.activeElement.id || document.activeElement.name || document.activeElement.className"
    )
    return name


def test_every_control_and_region_has_a_name(page: DemoPage) -> None:
    told = accessible(page.browser)
    named = [(role, name) for role, name in told if role in ("button", "combobox", "textbox", "region", "img", "log")]
    assert ("button", "Start talking") in named
    assert ("combobox", "Microphone") in named
    assert ("region", "Quality") in named
    assert [role for role, name in named if not name.strip()] == []


def test_page_has_a_language_landmarks_and_headings_in_order(page: DemoPage) -> None:
    run = page.browser.run
    assert run("return document.documentElement.lang") == "en"
    assert run("return document.title") == "fastrelay – talk to the agent"
    assert run(LANDMARKS) == ["header", "main", "footer"]
    levels = run("return [...document.querySelectorAll('main h1, main h2')].map((one) => Number(one.localName[1]))")
    assert levels[0] == 1
    assert set(levels[1:]) == {2}


def test_state_and_trouble_are_announced_and_figures_are_not(page: DemoPage) -> None:
    page.call()
    page.heard(SECOND_OF_PACKETS)
    roles = [role for role, _ in accessible(page.browser)]
    # a reader that was told every figure of every second would be told nothing else
    assert roles.count("status") == 1, "of the call"
    assert {"timer", "log"} <= set(roles)
    assert page.browser.run("return document.querySelector('#trouble').role") == "alert"


def test_tab_goes_through_the_page_as_the_eye_does(page: DemoPage) -> None:
    order = []
    for _ in range(6):
        page.browser.press(Keys.TAB)
        order.append(focused(page.browser))
    assert order == ["skip", "call", "microphone", "messages", "text", "send"]
    outline = page.browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "one sees where one is"


def test_call_is_made_muted_and_ended_by_keyboard_alone(page: DemoPage) -> None:
    press = page.browser.press
    press(Keys.TAB, Keys.TAB, Keys.ENTER)
    page.wait_for("live")
    assert focused(page.browser) == "call", "the focus stays where the person is"
    press(Keys.TAB, Keys.SPACE)
    assert focused(page.browser) == "mute"
    assert page.browser.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    assert page.browser.text("#state").startswith("Muted")
    press(Keys.SPACE)
    assert page.browser.run("return document.activeElement.getAttribute('aria-pressed')") == "false"
    page.browser.press_holding(Keys.SHIFT, Keys.TAB)
    press(Keys.ENTER)
    page.wait_for("ended")
    assert page.browser.text("#state") == "Call ended"
    assert focused(page.browser) == "call"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_off_its_ground(page: DemoPage, scheme: str) -> None:
    page.browser.prefer(color_scheme=scheme, reduced_motion="reduce")  # colours half way to others are no matter
    page.call()
    page.browser.run(
        "document.querySelector('#trouble').hidden = false; document.querySelector('.trouble p').textContent = 'x'"
    )
    assert page.browser.run(LOW_CONTRAST, CONTRAST_AA, EDGE_CONTRAST_AA) == []
    page.hang_up()
    assert page.browser.run(LOW_CONTRAST, CONTRAST_AA, EDGE_CONTRAST_AA) == []


def test_small_screen_needs_no_sideways_scrolling_and_has_room_for_thumbs(page: DemoPage) -> None:
    page.browser.cdp(
        "Emulation.setDeviceMetricsOverride", width=NARROW_PX, height=640, deviceScaleFactor=2, mobile=True
    )
    assert page.browser.run("return document.documentElement.scrollWidth") == NARROW_PX
    assert page.browser.run(SMALL_TARGETS, TARGET_PX) == []


def test_less_motion_is_respected(page: DemoPage) -> None:
    page.browser.prefer(reduced_motion="reduce")
    moving = page.browser.run(
        "const lasts = (one) => getComputedStyle(one).transitionDuration !== '0s';"
        "return [...document.querySelectorAll('*')].filter(lasts).length"
    )
    assert moving == 0
