"""PCM of received packets, in pieces of 20 ms, with what was lost concealed; and PCM as callers bring it.

Lives here: what a gap becomes, cutting, and the forms in which samples come. Must not live here: libopus (opus),
packets out of order (reorder), queues.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fastrelay.errors import WireError
from fastrelay.media.opus import FRAMES_PER_S, OpusDecoder, Samples
from fastrelay.media.reorder import AudioPacket

CONCEALED_MAX: Final = 5
"""Lost packets in a row that are made up for: after 100 ms libopus has faded to silence anyway."""


class PcmReader:
    """One stream's packets, in order, as pieces of PCM. A pause, for which nothing is sent, makes no pieces."""

    def __init__(self, rate: int) -> None:
        self.concealed = 0
        """Packets made up for."""
        self.malformed = 0
        """Packets that libopus did not understand: concealed too."""
        self._decoder = OpusDecoder(rate)
        self._cutter = Cutter(rate // FRAMES_PER_S)
        self._ssrc = -1
        self._next = -1

    def read(self, packet: AudioPacket) -> list[Samples]:
        """Return the pieces that a packet completes."""
        missing = packet.extended_sequence - self._next if packet.ssrc == self._ssrc else 0
        self._ssrc, self._next = packet.ssrc, packet.extended_sequence + 1
        pieces = []
        for left in range(min(missing, CONCEALED_MAX), 0, -1):
            self.concealed += 1
            is_last = left == 1
            made_up = self._decoder.recover(packet.payload) if is_last else self._decoder.conceal()
            pieces += self._cutter.cut(made_up)
        try:
            samples = self._decoder.decode(packet.payload)
        except WireError:
            self.malformed += 1
            samples = self._decoder.conceal()
        return pieces + self._cutter.cut(samples)


class Cutter:
    """Pieces of one size from samples of any number."""

    def __init__(self, size: int) -> None:
        self.rest: Samples = np.empty(0, np.int16)
        """What has not filled a piece."""
        self._size = size

    def cut(self, samples: Samples) -> list[Samples]:
        """Return the pieces that are full now."""
        if self.rest.size:
            samples = np.concatenate((self.rest, samples))
        full = samples.size - samples.size % self._size
        self.rest = samples[full:]
        return [samples[start : start + self._size] for start in range(0, full, self._size)]


def samples_of(audio: object) -> Samples:
    """Take samples as speech libraries deliver them: 16-bit integers, floats from -1 to 1, or 16-bit bytes.

    >>> samples_of(np.array([0.0, 1.0, -2.0])).tolist()
    [0, 32767, -32767]
    """
    if isinstance(audio, (bytes, bytearray, memoryview)):
        if len(audio) % 2:
            raise ValueError(f"{len(audio)} bytes are no whole number of 16-bit samples")
        return np.frombuffer(audio, "<i2").astype(np.int16, copy=False)
    if not isinstance(audio, np.ndarray):
        raise TypeError(f"samples as {type(audio).__name__}: they are int16, or floats from -1 to 1")
    if audio.ndim != 1:
        raise ValueError(f"samples of shape {audio.shape}: one channel is one dimension")
    if np.issubdtype(audio.dtype, np.floating):
        return (np.clip(audio.astype(np.float32), -1, 1) * 32_767).astype(np.int16)
    if audio.dtype.kind != "i" or audio.dtype.itemsize != 2:
        raise TypeError(f"samples of type {audio.dtype}: they are int16, or floats from -1 to 1")
    return audio.astype(np.int16, copy=False)
