"""The agents that fastrelay ships: echo, tone, recorder."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from fastrelay.agent import LoadedAgent, Message, load_agent
from fastrelay.agent.echo import LATE_S, WINDOW_FRAMES
from fastrelay.agent.recorder import RATE, Recorder, Recording
from fastrelay.media.files import OggOpusFile, WavFile
from fastrelay.media.opus import OpusDecoder, OpusEncoder
from tests.unit.agent_stage import FRAME, Stage, packet, payloads

TURNS = 4  # of the loop, until an inline agent has done what it has to


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def numbered(number: int) -> bytes:
    return FRAME + number.to_bytes(2, "big")


def test_echo_sends_back_what_comes_unchanged() -> None:
    async def scene() -> None:
        async with Stage(load_agent("echo")) as stage:
            for number in range(100):
                stage.hear(packet(number, numbered(number)))
                await settle()
                assert payloads(stage.take()) == [numbered(number)]

    asyncio.run(scene())


def test_echo_answers_what_is_written() -> None:
    async def scene() -> None:
        async with Stage(load_agent("echo")) as stage:
            stage.seat.tell(Message("events", "hello"))
            stage.seat.tell(Message("events", b"\x00"))
            stage.seat.tell(Message("telemetry", "not meant for agents"))
            await stage.until(lambda: len(stage.sent) == 2)
            assert stage.sent == [("events", "hello"), ("events", b"\x00")]

    asyncio.run(scene())


def test_echo_keeps_a_little_for_jitter_and_walks_a_standing_delay_off() -> None:
    async def scene() -> list[float]:
        waiting_ms = []
        async with Stage(load_agent("echo")) as stage:
            stage.hear(*(packet(number) for number in range(6)))  # a burst: five frames of delay
            for number in range(6, 6 + 6 * WINDOW_FRAMES):
                stage.hear(packet(number))
                await settle()
                stage.take(1)
                waiting_ms.append(stage.seat.statistics()["buffered_ms"])
        return waiting_ms

    waiting_ms = asyncio.run(scene())
    assert waiting_ms[0] == 120
    assert waiting_ms[-1] == 20
    assert set(np.diff(waiting_ms)) <= {0.0, -20.0}


def test_echo_drops_what_came_in_a_burst_after_a_break() -> None:
    async def scene() -> None:
        async with Stage(load_agent("echo")) as stage:
            stage.hear(*(packet(number, numbered(number)) for number in range(60)))
            await settle()
            assert stage.seat.statistics()["buffered_ms"] <= LATE_S * 1000 + 20
            assert payloads(stage.take())[-1] == numbered(59)

    asyncio.run(scene())


def test_tone_is_one_pitch_without_a_seam() -> None:
    async def scene() -> list[bytes]:
        async with Stage(load_agent("tone")) as stage:
            frames: list[bytes] = []
            while len(frames) < 150:
                await settle()
                frames += payloads(stage.take(10))
            return frames

    decoder = OpusDecoder(48_000)
    sound = np.concatenate([decoder.decode(frame) for frame in asyncio.run(scene())])[9_600:]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size))) ** 2
    pitch = int(np.argmax(spectrum))
    assert pitch * 48_000 / sound.size == pytest.approx(440, abs=1)
    assert spectrum[pitch - 20 : pitch + 20].sum() / spectrum.sum() > 0.99


SPOKEN = OpusEncoder(RATE).encode((8_000 * np.sin(np.arange(RATE // 50) / 10)).astype(np.int16))


def seconds_of(folder: Path, name: str) -> tuple[float, float]:
    """Return how long a recording's WAV and Ogg play."""
    with wave.open(str(folder / f"{name}.wav"), "rb") as wav:
        wav_s = wav.getnframes() / wav.getframerate()
    with av.open(folder / f"{name}.opus") as container:
        ogg_s = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    return wav_s, ogg_s


def test_recorder_writes_both_files_until_the_call_is_over(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"

    async def scene() -> None:
        async with Stage(LoadedAgent.of(Recorder(folder)), call_id="rtc_rec") as stage:
            stage.hear(*(packet(number, SPOKEN) for number in range(50)))
        assert (stage.host.counts.ended, stage.host.counts.failed) == (1, 0)

    asyncio.run(scene())
    assert seconds_of(folder, "rtc_rec") == pytest.approx((1.0, 1.0), abs=0.01)


def test_recorder_that_cannot_write_ends_its_call_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def scene() -> None:
        async with Stage(LoadedAgent.of(Recorder(tmp_path / "file"))) as stage:
            await stage.until(lambda: stage.endings)
            assert "FileExistsError" in str(stage.endings[0])

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("numbers", "timestamps_ms", "elapsed_s", "length_s"),
    [
        pytest.param([1, 2, 3, 4], [0, 20, 40, 60], 60, 0.08, id="no gap"),
        pytest.param([1, 2, 5, 6], [0, 20, 80, 100], 60, 0.12, id="two packets lost"),
        pytest.param([1, 2, 30, 31], [0, 20, 580, 600], 60, 0.62, id="more lost than is concealed"),
        pytest.param([1, 2, 3], [0, 20, 3_020], 60, 3.04, id="a pause"),
        pytest.param([1, 2, 3], [0, 20, 600_020], 9, 10.02, id="a pause that cannot have been"),
        pytest.param([1, 2, 3], [60_000, 60_020, 5], 60, 0.06, id="back in time"),
        pytest.param([1, 2, 3], [2**32 / 48 - 20, 0, 20], 60, 0.06, id="the clock wraps"),
    ],
)
def test_recordings_are_as_long_as_the_call(
    tmp_path: Path, numbers: list[int], timestamps_ms: list[float], elapsed_s: float, length_s: float
) -> None:
    with WavFile(tmp_path / "call.wav", RATE) as wav, OggOpusFile(tmp_path / "call.opus") as ogg:
        recording = Recording(wav, ogg)
        for number, timestamp_ms in zip(numbers, timestamps_ms, strict=True):
            recording.add(packet(number, SPOKEN, timestamp=round(timestamp_ms * 48)), elapsed_s)
    assert seconds_of(tmp_path, "call") == pytest.approx((length_s, length_s), abs=0.021)
