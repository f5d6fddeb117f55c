"""Opus: how long a frame lasts.

Lives here: what a frame's first byte tells (RFC 6716 §3.1). Must not live here: queues, files.
"""

from __future__ import annotations

from typing import Final

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
