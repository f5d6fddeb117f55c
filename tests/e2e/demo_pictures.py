"""Takes the pictures of docs/images: `python -m tests.e2e.demo_pictures`, on a machine that is idle.

Lives here: a live call of the demo page with a voice that is none, at the widths of a desk and a phone. Must not live
here: tests.
"""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path
from typing import Final

import numpy as np

from tests.e2e.chromium import FAKE_MICROPHONE, Chromium
from tests.e2e.demo_page import DemoPage
from tests.e2e.stack import Stack

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
RATE: Final = 48_000
PACKETS_TO_SHOW: Final = 900
"""18 s: enough for the lines of the quality panel."""
DESK_PX: Final = 1280
PHONE_PX: Final = 390


def speak(path: Path, seconds: float = 30.0) -> None:
    """Write something with the rhythm of speech: syllables of a few harmonics, words, pauses."""
    seeded = np.random.default_rng(4)
    pieces: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    while sum(map(len, pieces)) < seconds * RATE:
        for _ in range(seeded.integers(3, 8)):
            at = np.arange(int(RATE * seeded.uniform(0.09, 0.26))) / RATE
            pitch = seeded.uniform(100, 150)
            loudness = np.abs(np.sin(np.pi * at / at[-1])) ** 0.7 * seeded.uniform(0.08, 0.45)
            tremble = 1 + 0.35 * np.sin(2 * np.pi * seeded.uniform(9, 17) * at)
            voice = sum(np.sin(2 * np.pi * pitch * k * at + seeded.uniform(0, 6)) / k**1.1 for k in range(1, 14))
            pieces += [loudness * tremble * voice / 3, np.zeros(int(RATE * seeded.uniform(0.02, 0.07)))]
        pieces.append(np.zeros(int(RATE * seeded.uniform(0.35, 0.9))))
    samples = (np.clip(np.concatenate(pieces), -1, 1) * 32_000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def take(page: DemoPage) -> None:
    page.open()
    page.call()
    page.browser.run(
        "const text = document.querySelector('#text'); text.value = 'Is anyone there?'; text.form.requestSubmit()"
    )
    page.browser.run("document.querySelector('#microphone').selectedOptions[0].text = 'System default'")
    page.heard(PACKETS_TO_SHOW, within_s=60)
    page.browser.prefer(color_scheme="light")
    page.browser.screenshot(IMAGES / "demo.png", width=DESK_PX)
    page.browser.screenshot(IMAGES / "demo-phone.png", width=PHONE_PX, scale=2)
    page.browser.prefer(color_scheme="dark")
    page.browser.screenshot(IMAGES / "demo-dark.png", width=DESK_PX)
    page.hang_up()


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        speak(folder / "speech.wav")
        flags = (*FAKE_MICROPHONE, f"--use-file-for-fake-audio-capture={folder / 'speech.wav'}")
        with Stack(folder) as stack, Chromium(folder / "profile", flags=flags) as browser:
            take(DemoPage(browser, stack.url))


if __name__ == "__main__":
    main()
