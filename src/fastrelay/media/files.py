"""Audio files: WAV of PCM, and Ogg of Opus as it came.

Lives here: two writers. Files are new, and only their owner may read them: they hold what people have said.
Must not live here: what is recorded, and when (agent.recorder).
"""

from __future__ import annotations

import os
import wave
from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet

from fastrelay.media.opus import FRAMES_PER_S, OPUS_RATE, Samples, frame_samples

SILENT_FRAME: Final = bytes([0x78])
"""20 ms of full band without any audio in it: a decoder goes on with its last sound, fading (RFC 6716 §3.2.1)."""
SILENT_SAMPLES: Final = OPUS_RATE // FRAMES_PER_S
SILENCE_AT_ONCE: Final = 24_000
"""Samples written at once, so that an hour's pause takes no memory."""


class _AudioFile(ABC):
    """A file that is closed at the end of its block."""

    @abstractmethod
    def close(self) -> None:
        """Write what stands at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class WavFile(_AudioFile):
    """16-bit PCM, one channel. OSError for what the disk refuses, also that the file exists."""

    def __init__(self, path: Path, rate: int) -> None:
        self.samples = 0
        """Written so far."""
        self._file = _create(path)
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115 -- close() closes it
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(rate)

    def write(self, samples: Samples) -> None:
        """Append samples."""
        self._wave.writeframesraw(samples.astype("<i2", copy=False).tobytes())
        self.samples += samples.size

    def write_silence(self, samples: int) -> None:
        """Append silence of that length."""
        for start in range(0, samples, SILENCE_AT_ONCE):
            self.write(np.zeros(min(SILENCE_AT_ONCE, samples - start), np.int16))

    def close(self) -> None:
        """Write the lengths into the header."""
        try:
            self._wave.close()
        finally:
            self._file.close()


class OggOpusFile(_AudioFile):
    """Opus frames in Ogg (RFC 7845), not decoded. OSError for what the disk refuses, also that the file exists."""

    def __init__(self, path: Path) -> None:
        self.samples = 0
        """Of 48 kHz, written so far."""
        self._file = _create(path)
        self._container = av.open(self._file, "w", format="ogg")
        stream = self._container.add_stream("libopus", rate=OPUS_RATE)
        if not isinstance(stream, AudioStream):
            raise AssertionError("libopus is an audio codec")
        stream.layout = "mono"
        self._stream = stream

    def write(self, frame: bytes) -> None:
        """Append a frame."""
        samples = frame_samples(frame)
        packet = Packet(frame)
        packet.stream = self._stream
        packet.time_base = Fraction(1, OPUS_RATE)
        packet.pts = packet.dts = self.samples
        packet.duration = samples
        self._container.mux(packet)
        self.samples += samples

    def write_silence(self, samples: int) -> None:
        """Append silence of about that length, in whole frames."""
        for _ in range(samples // SILENT_SAMPLES):
            self.write(SILENT_FRAME)

    def close(self) -> None:
        """Write the last page."""
        try:
            self._container.close()
        finally:
            self._file.close()


def _create(path: Path) -> BinaryIO:
    """Open a new file for its owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")
