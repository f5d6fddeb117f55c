"""A headless Chromium with a microphone that beeps, driven through chromedriver.

Lives here: starting and stopping it, running scripts in its page, waiting for what the page shows, its keyboard. Must
not live here: what any page is expected to do (the tests), servers (stack).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

BROWSER: Final = Path("/usr/bin/chromium")
DRIVER: Final = Path("/usr/bin/chromedriver")  # always named, else selenium would look for one to download

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
FAKE_MICROPHONE: Final = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")

# Runs before any script of a page. Tests ask the page's own peer connections how they are. And the microphone is taken
# as it is: its beeps come so regularly that echo cancellation would take them for an echo, noise reduction for noise.
PREPARE_PAGE: Final = """
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...configuration) { super(...configuration); window.peers.push(this); }
};
const lend = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (lend) navigator.mediaDevices.getUserMedia = ({ audio }) => {
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  return lend({ audio: { ...(typeof audio === 'object' && audio), ...plain } });
};
"""

# In the page, so that waiting costs no round trips and nobody sleeps.
WAIT: Final = """
const [condition, withinMs, ...args] = arguments;
const look = new Function('...args', 'return (async () => { ' + condition + ' })()');
return new Promise((resolve, reject) => {
  const until = performance.now() + withinMs;
  const turn = async () => {
    const found = await look(...args);
    if (found) resolve({ found });
    else if (performance.now() > until) resolve({});
    else setTimeout(turn, 20);
  };
  turn().catch(reject);
});
"""


class Chromium:
    """One browser with one window. Close it, or use it as a context manager."""

    def __init__(self, profile: Path, *, flags: Sequence[str] = FAKE_MICROPHONE, window: tuple[int, int] = (1280, 900)):
        options = ChromeOptions()
        options.binary_location = str(BROWSER)
        for flag in (*FLAGS, *flags, f"--user-data-dir={profile}", "--window-size={},{}".format(*window)):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self._profile = profile
        self._driver = Chrome(options=options, service=Service(str(DRIVER)))
        self._driver.set_script_timeout(90)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=PREPARE_PAGE)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and its driver, and remove its profile."""
        self._driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> None:
        """Load a page, forgetting what the one before it has logged."""
        self.complaints()
        self._driver.get(url)

    def reload(self) -> None:
        self._driver.refresh()

    @property
    def tab(self) -> str:
        """The tab in front. Set it to another to bring that in front."""
        return self._driver.current_window_handle

    @tab.setter
    def tab(self, tab: str) -> None:
        self._driver.switch_to.window(tab)

    def open_tab(self, url: str) -> None:
        """Load a page beside the one in front, which goes on behind it."""
        self._driver.switch_to.new_window("tab")
        # The script of the first tab is not that of others.
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=PREPARE_PAGE)
        self.open(url)

    def close_tab(self) -> None:
        """Close the tab in front; another one must be chosen next."""
        self._driver.close()

    def run(self, script: str, *args: Any) -> Any:
        """Run the body of an async function in the page and return what it returns."""
        return self._driver.execute_script(f"return (async (...args) => {{ {script} }})(...arguments)", *args)

    def wait(self, condition: str, *args: Any, within_s: float = 10.0) -> Any:
        """Return what the condition's body returns in the page, once that is true."""
        outcome = self._driver.execute_script(WAIT, condition, within_s * 1000, *args)
        if "found" not in outcome:
            raise AssertionError(
                f"not within {within_s} s: {condition} {args or ''}\n{self.text()}\n{self.complaints()}"
            )
        return outcome["found"]

    def text(self, selector: str = "main") -> str:
        """Return the text that a person sees."""
        seen: str = self.run("return document.querySelector(args[0])?.innerText ?? ''", selector)
        return seen

    def click(self, selector: str) -> None:
        self._driver.find_element("css selector", selector).click()

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        chain = ActionChains(self._driver, duration=0)
        for key in keys:
            chain.send_keys(key)
        chain.perform()

    def press_holding(self, modifier: str, key: str) -> None:
        """Press a key while another one is held."""
        ActionChains(self._driver, duration=0).key_down(modifier).send_keys(key).key_up(modifier).perform()

    def prefer(self, **features: str) -> None:
        """Have the system prefer this: `color_scheme="dark"`. What is not named is as usual again."""
        wanted = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.cdp("Emulation.setEmulatedMedia", features=wanted)

    def cdp(self, command: str, **parameters: Any) -> Any:
        """Say something in Chromium's own protocol."""
        return self._driver.execute_cdp_cmd(command, parameters)

    def complaints(self) -> list[str]:
        """Return, and forget, the warnings and errors of the console: scripts, content policy, failed requests."""
        logged: list[dict[str, Any]] = self._driver.execute("getLog", {"type": "browser"})["value"]
        return [entry["message"] for entry in logged if entry["level"] in ("WARNING", "SEVERE")]

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return the newest peer connection's audio statistics, by type of report."""
        text = self.run(
            "const report = await window.peers.at(-1).getStats();"
            "return JSON.stringify([...report.values()].filter((entry) => (entry.kind ?? 'audio') === 'audio'))"
        )
        return {entry["type"]: entry for entry in json.loads(text)}

    def screenshot(self, path: Path, *, width: int, scale: float = 1) -> None:
        """Take a picture of the whole page at a width in CSS pixels."""
        self.cdp("Emulation.setScrollbarsHidden", hidden=True)
        self._set_size(width, 800, scale)
        self._set_size(width, self.run("return document.documentElement.scrollHeight"), scale)
        self._driver.save_screenshot(str(path))
        self.cdp("Emulation.clearDeviceMetricsOverride")

    def _set_size(self, width: int, height: int, scale: float) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **size)
        self.run("await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
