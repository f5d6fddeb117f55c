"""Opus frames and PCM: how long a frame lasts, decoding and encoding by libopus.

Lives here: what a frame's first byte tells (RFC 6716 §3.1), and our one wrapper of PyAV's codecs. Encoder and decoder
are made when they are first used, because most of an idle call's memory would be theirs.
Must not live here: queues, files, gaps (pcm).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.packet import Packet

from fastrelay.errors import WireError

Samples: TypeAlias = npt.NDArray[np.int16]
"""One channel of PCM."""

RATES: Final = (8_000, 16_000, 24_000, 48_000)
"""Sampling rates that Opus knows and that speech models use."""
OPUS_RATE: Final = 48_000
FRAMES_PER_S: Final = 50
"""20 ms: what browsers send, and what every voice model and every jitter buffer is tuned to."""
BIT_RATE: Final = {8_000: 16_000, 16_000: 24_000, 24_000: 32_000, 48_000: 32_000}
"""By sampling rate, in bits a second. Opus is transparent for speech at about these (RFC 7587 §3.1.1); headers of RTP,
SRTP, UDP and IP cost another 24,000 a second whatever we choose."""
COMPLEXITY: Final = 1
"""Of 0 to 10. A frame of 24 kHz speech takes 91 µs at 1, 122 at 2, 166 at 5 and 211 at 8, and 84 at 0. Each step
from here on takes another 0.1 % of a core, for each call that speaks."""

FRAME_BYTES_MAX: Final = 1_200
"""Longer payloads fit in no packet that every path carries. Opus needs a tenth of it for speech."""
SAMPLES_MAX: Final = 5_760
"""120 ms of 48 kHz: the longest packet there is (RFC 6716 §3.2.5)."""

_SILK: Final = (480, 960, 1920, 2880)
_HYBRID: Final = (480, 960)
_CELT: Final = (120, 240, 480, 960)


def _of_one_frame(config: int) -> int:
    """RFC 6716 §3.1, table 2."""
    if config < 12:
        return _SILK[config % 4]
    if config < 16:
        return _HYBRID[config % 2]
    return _CELT[config % 4]


_ONE: Final = tuple(_of_one_frame(toc >> 3) for toc in range(256))
_FIXED: Final = tuple((_ONE[toc], 2 * _ONE[toc], 2 * _ONE[toc], 0)[toc & 3] for toc in range(256))
"""Samples by first byte; 0 where the second byte has the number of frames."""


def frame_samples(payload: bytes) -> int:
    """Return how many samples of 48 kHz a packet of Opus lasts; 0 when it is none."""
    if not payload or len(payload) > FRAME_BYTES_MAX:
        return 0
    toc = payload[0]
    samples = _FIXED[toc]
    if samples:
        return samples
    if len(payload) < 2:
        return 0
    samples = _ONE[toc] * (payload[1] & 0x3F)
    return samples if samples <= SAMPLES_MAX else 0


class OpusDecoder:
    """One stream's decoder, to mono at one rate. Frames must come in order, each once."""

    def __init__(self, rate: int) -> None:
        require_rate(rate)
        codec = AudioCodecContext.create("libopus", "r")
        codec.layout = "mono"  # libopus mixes stereo down itself
        codec.format = "s16"
        codec.open()
        self._codec = codec
        self._resampler = AudioResampler("s16", "mono", rate) if rate != OPUS_RATE else None
        self._toc = bytes([0])

    def decode(self, frame: bytes) -> Samples:
        """Return a frame's samples. WireError for bytes that libopus does not understand."""
        if not frame_samples(frame):
            raise WireError("opus frame", 0, "no duration can be read")  # an empty one would end libopus' stream
        self._toc = bytes([frame[0] & 0xFC])
        return self._decode(frame)

    def conceal(self) -> Samples:
        """Return what stands for one lost frame: the last sound, fading.

        A packet that is its first byte alone has no audio in it, and libopus conceals that (RFC 6716 §3.2.1).
        """
        return self._decode(self._toc)

    def _decode(self, frame: bytes) -> Samples:
        try:
            frames: list[AudioFrame] = self._codec.decode(Packet(frame))
            if self._resampler is not None:
                frames = [converted for decoded in frames for converted in self._resampler.resample(decoded)]
        except av.FFmpegError as error:
            raise WireError("opus frame", 0, str(error)) from error
        if len(frames) == 1:
            return _samples_of(frames[0])
        return np.concatenate([_samples_of(decoded) for decoded in frames]) if frames else np.empty(0, np.int16)


class OpusEncoder:
    """One stream's encoder, from mono at one rate, in frames of 20 ms."""

    def __init__(self, rate: int) -> None:
        require_rate(rate)
        codec = AudioCodecContext.create("libopus", "w")
        codec.sample_rate = rate
        codec.layout = "mono"
        codec.format = "s16"
        codec.bit_rate = BIT_RATE[rate]
        codec.options = {
            "application": "voip",  # speech is what agents say
            "frame_duration": "20",
            "compression_level": str(COMPLEXITY),
        }
        codec.open()
        self._codec = codec
        self._rate = rate
        self.frame_samples = rate // FRAMES_PER_S
        """What `encode` takes each time."""

    def encode(self, samples: Samples) -> bytes:
        """Return the Opus frame of exactly `frame_samples` samples."""
        if samples.shape != (self.frame_samples,):
            raise ValueError(f"{samples.shape} samples where a frame takes {self.frame_samples}")
        frame = AudioFrame("s16", "mono", self.frame_samples)
        frame.planes[0].update(samples.tobytes())
        frame.sample_rate = self._rate
        (packet,) = self._codec.encode(frame)  # libopus keeps nothing back
        return bytes(packet)


def require_rate(rate: int) -> None:
    """ValueError for a sampling rate that Opus does not know."""
    if rate not in RATES:
        raise ValueError(f"{rate} samples a second: Opus knows {', '.join(map(str, RATES))}")


def _samples_of(frame: AudioFrame) -> Samples:
    # A copy: the plane's memory goes with the frame, and it has padding at its end.
    return np.frombuffer(memoryview(frame.planes[0]), np.int16, frame.samples).copy()
