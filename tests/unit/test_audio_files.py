"""Audio files: what is written can be read by others, for as long as it lasted, by its owner alone."""

from __future__ import annotations

import stat
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from fastrelay.media.files import OggOpusFile, WavFile
from fastrelay.media.opus import OpusEncoder

RATE = 24_000
LEAD_IN_SAMPLES = 312
"""What a player skips of an Opus stream (RFC 7845 §4.2), as PyAV writes it."""


def read_ogg(path: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    with av.open(path) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def test_wav_holds_the_samples(tmp_path: Path) -> None:
    samples = np.arange(-500, 500, dtype=np.int16)
    with WavFile(tmp_path / "call.wav", RATE) as file:
        file.write(samples)
        file.write_silence(70_000)
        file.write(samples)
        assert file.samples == 72_000
    with wave.open(str(tmp_path / "call.wav"), "rb") as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE, 1, 2)
        written = np.frombuffer(wav.readframes(100_000), "<i2")
    assert written.tolist() == [*samples.tolist(), *[0] * 70_000, *samples.tolist()]


def test_ogg_holds_the_frames_and_pauses(tmp_path: Path) -> None:
    encoder = OpusEncoder(RATE)
    sound = (10_000 * np.sin(np.arange(RATE) / 10)).astype(np.int16).reshape(50, -1)
    with OggOpusFile(tmp_path / "call.opus") as file:
        for frame in sound:
            file.write(encoder.encode(frame))
        file.write_silence(48_000)
        for frame in sound:
            file.write(encoder.encode(frame))
        assert file.samples == 3 * 48_000
    heard = read_ogg(tmp_path / "call.opus")
    assert heard.size == 3 * 48_000 - LEAD_IN_SAMPLES
    first, pause, second = (float(np.abs(part).mean()) for part in np.array_split(heard, 3))
    assert pause < first / 4
    assert second > first / 2


def test_empty_files_are_files(tmp_path: Path) -> None:
    with WavFile(tmp_path / "call.wav", RATE), OggOpusFile(tmp_path / "call.opus"):
        pass
    with wave.open(str(tmp_path / "call.wav"), "rb") as wav:
        assert wav.getnframes() == 0


@pytest.mark.parametrize("name", ["call.wav", "call.opus"])
def test_recordings_are_their_owners_and_never_overwritten(tmp_path: Path, name: str) -> None:
    def create() -> None:
        (WavFile(tmp_path / name, RATE) if name.endswith("wav") else OggOpusFile(tmp_path / name)).close()

    create()
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        create()
