"""What callers say: two seconds of an Opus stream that a decoder can work on, over and over.

Lives here: making it, and the encoder. It costs what speech costs: 24 kbit/s, 20 ms, changing pitch and loudness.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
FRAME_SAMPLES = 960
FRAMES = 100


@cache
def voice() -> list[bytes]:
    """FRAMES payloads of 20 ms."""
    time_s = np.arange(FRAMES * FRAME_SAMPLES) / RATE
    pitch_hz = 140 + 40 * np.sin(2 * np.pi * 0.7 * time_s)
    loudness = 0.3 + 0.25 * np.sin(2 * np.pi * 2.1 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    tone = sum(np.sin(phase * harmonic) / harmonic for harmonic in range(1, 12))
    return encode((loudness * tone * 8000).astype(np.int16))


def encode(samples: NDArray[np.int16]) -> list[bytes]:
    """Payloads of 20 ms each, as a client would send them."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate = RATE
    encoder.layout = "mono"
    encoder.format = av.AudioFormat("s16")
    encoder.bit_rate = 24_000
    encoder.time_base = Fraction(1, RATE)
    encoder.options = {"application": "voip", "frame_duration": "20"}
    payloads = []
    for at in range(0, len(samples), FRAME_SAMPLES):
        frame = av.AudioFrame.from_ndarray(samples[at : at + FRAME_SAMPLES].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = at
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    return payloads
