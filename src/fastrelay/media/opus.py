"""Opus frames and PCM: how long a frame lasts, decoding and encoding by libopus.

Lives here: what a frame's first byte tells (RFC 6716 §3.1), and encoder and decoder of one stream. Make these when they
are first used: most of an idle call's memory would be theirs.
Must not live here: queues, files, gaps (pcm), libopus' own interface (libopus).
"""

from __future__ import annotations

import ctypes
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fastrelay.errors import WireError
from fastrelay.media import libopus

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
"""Of 0 to 10. A frame of 24 kHz speech takes 71 µs at 1, 102 at 2, 136 at 5 and 185 at 8, and 62 at 0. Each step from
here on takes another 0.1 % of a core, for each call that speaks."""

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

    __slots__ = ("_address", "_last_samples", "_pcm", "_state")

    def __init__(self, rate: int) -> None:
        require_rate(rate)
        # The state is plain memory of ours: libopus holds nothing that would have to be given back.
        self._state = ctypes.create_string_buffer(libopus.decoder_get_size(1))
        _check(libopus.decoder_init(self._state, rate, 1))
        self._pcm: Samples = np.empty(SAMPLES_MAX * rate // OPUS_RATE, np.int16)
        self._address = self._pcm.ctypes.data
        self._last_samples = rate // FRAMES_PER_S

    def decode(self, frame: bytes) -> Samples:
        """Return a frame's samples; stereo is mixed down. WireError for bytes that libopus does not understand."""
        if not frame_samples(frame):
            raise WireError("opus frame", 0, "no duration can be read")
        decoded = libopus.decode(self._state, frame, len(frame), self._address, self._pcm.size, 0)
        if decoded < 0:
            raise WireError("opus frame", 1, _reason(decoded))
        self._last_samples = decoded
        return self._decoded(decoded)

    def conceal(self) -> Samples:
        """Return what stands for one lost frame: the last sound, fading."""
        return self._decoded(_check(libopus.decode(self._state, None, 0, self._address, self._last_samples, 0)))

    def recover(self, successor: bytes) -> Samples:
        """Return a lost frame from what its successor tells of it (RFC 6716 §2.1.7); where that is nothing, conceal."""
        decoded = libopus.decode(self._state, successor, len(successor), self._address, self._last_samples, 1)
        return self._decoded(decoded) if decoded >= 0 else self.conceal()

    def _decoded(self, samples: int) -> Samples:
        return self._pcm[:samples].copy()  # the next frame is decoded into the same place


class OpusEncoder:
    """One stream's encoder, from mono at one rate, in frames of 20 ms."""

    __slots__ = ("_frame", "_state", "frame_samples")

    def __init__(self, rate: int) -> None:
        require_rate(rate)
        self._state = ctypes.create_string_buffer(libopus.encoder_get_size(1))
        _check(libopus.encoder_init(self._state, rate, 1, libopus.APPLICATION_VOIP))  # speech is what agents say
        for setting, value in (
            (libopus.SET_BITRATE, BIT_RATE[rate]),
            (libopus.SET_COMPLEXITY, COMPLEXITY),
        ):
            _check(libopus.encoder_ctl(self._state, setting, ctypes.c_int32(value)))
        self._frame = ctypes.create_string_buffer(FRAME_BYTES_MAX)
        self.frame_samples = rate // FRAMES_PER_S
        """What `encode` takes each time."""

    def encode(self, samples: Samples) -> bytes:
        """Return the Opus frame of exactly `frame_samples` samples."""
        if samples.shape != (self.frame_samples,) or samples.dtype != np.int16:
            raise ValueError(f"{samples.dtype} {samples.shape} where a frame takes {self.frame_samples} of int16")
        size = libopus.encode(self._state, samples.tobytes(), self.frame_samples, self._frame, FRAME_BYTES_MAX)
        return ctypes.string_at(self._frame, _check(size))


def _check(result: int) -> int:
    """Pass on what libopus returns. Arguments are ours, so a refusal is a bug."""
    if result < 0:
        raise AssertionError(f"libopus: {_reason(result)}")
    return result


def _reason(error: int) -> str:
    text: bytes = libopus.strerror(error)
    return text.decode("ascii")


def require_rate(rate: int) -> None:
    """ValueError for a sampling rate that Opus does not know."""
    if rate not in RATES:
        raise ValueError(f"{rate} samples a second: Opus knows {', '.join(map(str, RATES))}")
