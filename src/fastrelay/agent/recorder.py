"""The recorder: what the client says, as a WAV file of 24 kHz and, undecoded, as Ogg/Opus.

Lives here: the clock of a recording. Pauses, for which a client sends nothing, are as long in the files as they were.
Must not live here: file formats (media.files).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from fastrelay.agent.call import Call
from fastrelay.media.files import SILENT_SAMPLES, OggOpusFile, WavFile
from fastrelay.media.opus import OPUS_RATE, frame_samples
from fastrelay.media.pcm import PcmReader
from fastrelay.media.reorder import AudioPacket

RATE: Final = 24_000
FOLDER: Final = "FASTRELAY_RECORDINGS"
"""The environment variable that names the folder; without it, `recordings` where the transceiver was started."""
AHEAD_S: Final = 1.0
"""How far a client's time stamps may be ahead of the clock: they say how long a pause was, and must fill no disk."""


class Recorder:
    """An agent that writes `CALL.wav` and `CALL.opus` into a folder, each as long as the call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def __call__(self, call: Call) -> None:
        """Record until the call is over."""
        self.folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        with WavFile(self.folder / f"{call.id}.wav", RATE) as wav, OggOpusFile(self.folder / f"{call.id}.opus") as ogg:
            recording = Recording(wav, ogg)
            async for packet in call.packets():
                recording.add(packet, loop.time() - begun_s)


class Recording:
    """Two files of one call. Every packet ends where its time stamp says, in both."""

    def __init__(self, wav: WavFile, ogg: OggOpusFile) -> None:
        self._wav = wav
        self._ogg = ogg
        self._pcm = PcmReader(RATE)
        self._end = 0
        """Where the last packet ended, in samples of 48 kHz since the first began."""
        self._next_timestamp: int | None = None

    def add(self, packet: AudioPacket, elapsed_s: float) -> None:
        """Append a packet, and before it the pause that it follows. `elapsed_s` is the length of the call so far."""
        samples = frame_samples(packet.payload)
        self._end += self._pause_before(packet, elapsed_s) + samples
        self._next_timestamp = (packet.timestamp + samples) & 0xFFFF_FFFF
        self._ogg.write_silence(self._end - samples - self._ogg.samples)
        self._ogg.write(packet.payload)
        pieces = self._pcm.read(packet)
        lacking = self._end * RATE // OPUS_RATE - self._wav.samples - sum(piece.size for piece in pieces)
        if lacking > SILENT_SAMPLES * RATE // OPUS_RATE:  # less is not yet a whole piece
            self._wav.write_silence(lacking)
        for piece in pieces:
            self._wav.write(piece)

    def _pause_before(self, packet: AudioPacket, elapsed_s: float) -> int:
        if self._next_timestamp is None:
            return 0
        pause = (packet.timestamp - self._next_timestamp) & 0xFFFF_FFFF
        if pause > 0x7FFF_FFFF:  # back in time: another stream
            return 0
        return max(min(pause, int((elapsed_s + AHEAD_S) * OPUS_RATE) - self._end), 0)


recorder = Recorder(Path(os.environ.get(FOLDER, "recordings")))
