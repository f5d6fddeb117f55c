"""docs/agents.md and the example: what a reader pastes works, and what the page promises is so."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fastrelay.agent import Call, LoadedAgent, border, ear, load_agent, mouth, outbox
from fastrelay.media import pcm, reorder
from fastrelay.media.opus import OpusDecoder, OpusEncoder, Samples
from tests.unit.agent_stage import Stage, packet, payloads

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agents.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
RATE = 16_000


def spoken(seconds: float) -> list[bytes]:
    """Return a sentence as a client sends it, and the silence after it."""
    encoder = OpusEncoder(RATE)
    tone = 8_000 * np.sin(np.arange(int(RATE * seconds)) / 8)
    sound = np.concatenate((tone, np.zeros(RATE))).astype(np.int16)
    return [encoder.encode(frame) for frame in sound.reshape(-1, RATE // 50)]


async def hold_conversation(agent: LoadedAgent, frames: list[bytes]) -> tuple[Samples, list[tuple[str, str | bytes]]]:
    """Say something to an agent; return what it has answered, as PCM, and written."""
    async with Stage(agent) as stage:
        for number, frame in enumerate(frames):
            stage.hear(packet(number, frame))
            if number % 20 == 0:
                await asyncio.sleep(0.005)  # so slowly that a thread can follow: nothing is to be dropped here
        await stage.until(lambda: stage.wakes)
        heard: list[bytes] = []
        decoder = OpusDecoder(RATE)
        while len(heard) * 0.02 < 1.4:
            heard += payloads(stage.take())
            await asyncio.sleep(0.002)
        return np.concatenate([decoder.decode(frame) for frame in heard]), stage.sent


def pitch(samples: Samples) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * RATE / samples.size


def test_agent_of_the_page_works_when_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parrot.py").write_text(BLOCKS[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert "fastrelay up --agent parrot:parrot" in PAGE
    answer, _ = asyncio.run(hold_conversation(load_agent("parrot:parrot"), spoken(1.0)))
    assert pitch(answer) == pytest.approx(RATE / (2 * np.pi * 8), rel=0.02)


def test_agent_of_the_page_has_ten_lines() -> None:
    code = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len([line for line in code if not line.startswith("import")]) <= 10


@pytest.mark.parametrize("block", BLOCKS, ids=[re.findall(r"async def (\w+)", block)[0] for block in BLOCKS])
def test_every_piece_of_code_is_python(block: str) -> None:
    compile(block, "docs/agents.md", "exec")


def test_every_method_of_the_page_exists_and_none_is_forgotten() -> None:
    shown = set(re.findall(r"call\.(\w+)", PAGE))
    public = {name for name in dir(Call) if not name.startswith("_")}
    assert shown <= public
    assert public - shown == {"is_over"}


@pytest.mark.parametrize(
    ("words", "bound"),
    [
        ("100 packets: 2 s", ear.AUDIO_PACKETS == 100),
        ("| audio not yet sent | 10 s |", mouth.QUEUED_SAMPLES_MAX == 10 * 48_000),
        ("64, and 1 MiB, for each of 16", (ear.MESSAGES, ear.MESSAGE_BYTES, border.CHANNELS_MAX) == (64, 1 << 20, 16)),
        ("| events not yet read | 64 |", ear.EVENTS == 64),
        ("64; 800 a second", outbox.MESSAGES_MAX == 64 and outbox.BATCH / outbox.BATCH_EVERY_S == 800),
        ("4 packets, or 100 ms", (reorder.HELD_MAX, reorder.HELD_S) == (4, 0.1)),
        ("5 in a row: 100 ms", pcm.CONCEALED_MAX == 5),
    ],
)
def test_bounds_of_the_page_are_those_of_the_code(words: str, *, bound: bool) -> None:
    assert words in PAGE
    assert bound


def test_example_repeats_each_sentence_and_says_how_long_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    agent = load_agent("examples.parrot_agent:parrot")
    answer, written = asyncio.run(hold_conversation(agent, spoken(1.0)))
    assert pitch(answer) == pytest.approx(RATE / (2 * np.pi * 8), rel=0.02)
    assert [channel for channel, _ in written] == ["events"]
    assert re.fullmatch(r"You said 1\.\d seconds\.", str(written[0][1]))
