"""Opus: durations from the first byte, decoding and encoding, and PCM of a stream with gaps."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.media.opus import (
    FRAME_BYTES_MAX,
    RATES,
    SAMPLES_MAX,
    OpusDecoder,
    OpusEncoder,
    Samples,
    frame_samples,
)
from fastrelay.media.pcm import CONCEALED_MAX, Cutter, PcmReader, samples_of
from tests.unit.agent_stage import packet


def sine(rate: int, seconds: float = 1.0, hertz: int = 400) -> Samples:
    return (10_000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def frames_of(samples: Samples, rate: int) -> list[bytes]:
    encoder = OpusEncoder(rate)
    return [encoder.encode(frame) for frame in samples.reshape(-1, rate // 50)]


def loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64)))))


@pytest.mark.parametrize(
    ("frame", "samples"),
    [
        pytest.param(bytes([0 << 3]), 480, id="SILK narrow band 10 ms"),
        pytest.param(bytes([3 << 3]), 2880, id="SILK narrow band 60 ms"),
        pytest.param(bytes([9 << 3]), 960, id="SILK wide band 20 ms"),
        pytest.param(bytes([12 << 3]), 480, id="hybrid 10 ms"),
        pytest.param(bytes([15 << 3]), 960, id="hybrid 20 ms"),
        pytest.param(bytes([16 << 3]), 120, id="CELT 2.5 ms"),
        pytest.param(bytes([31 << 3]), 960, id="CELT 20 ms"),
        pytest.param(bytes([31 << 3 | 4]), 960, id="stereo"),
        pytest.param(bytes([31 << 3 | 1, 0]), 1920, id="two frames of one size"),
        pytest.param(bytes([31 << 3 | 2, 0]), 1920, id="two frames"),
        pytest.param(bytes([31 << 3 | 3, 3]), 2880, id="three frames"),
        pytest.param(bytes([31 << 3 | 3, 0xC3]), 2880, id="three frames, padded, of any size"),
        pytest.param(bytes([16 << 3 | 3, 48]), 5760, id="120 ms"),
        pytest.param(bytes([16 << 3 | 3, 49]), 0, id="122.5 ms"),
        pytest.param(bytes([31 << 3 | 3, 0]), 0, id="no frames"),
        pytest.param(bytes([31 << 3 | 3]), 0, id="without their number"),
        pytest.param(b"", 0, id="nothing"),
        pytest.param(bytes([31 << 3]) + bytes(FRAME_BYTES_MAX - 1), 960, id="as long as may be"),
        pytest.param(bytes([31 << 3]) + bytes(FRAME_BYTES_MAX), 0, id="longer than may be"),
    ],
)
def test_duration_is_read_from_the_first_bytes(frame: bytes, samples: int) -> None:
    assert frame_samples(frame) == samples


@given(st.binary(max_size=40))
def test_duration_agrees_with_libopus(frame: bytes) -> None:
    try:
        decoded = OpusDecoder(48_000).decode(frame).size
    except WireError:
        return
    assert decoded == frame_samples(frame)


@pytest.mark.parametrize("rate", RATES)
def test_sound_survives_encoding_and_decoding(rate: int) -> None:
    sound = sine(rate)
    frames = frames_of(sound, rate)
    assert {frame_samples(frame) for frame in frames} == {960}
    for other in RATES:
        decoder = OpusDecoder(other)
        decoded = np.concatenate([decoder.decode(frame) for frame in frames])
        assert decoded.size == other
        assert loudness(decoded[other // 4 :]) == pytest.approx(loudness(sound), rel=0.1)
        spectrum = np.abs(np.fft.rfft(decoded))
        assert int(np.argmax(spectrum)) == pytest.approx(400, abs=2)


def test_stereo_is_mixed_down() -> None:
    frame = bytearray(frames_of(sine(48_000), 48_000)[10])
    frame[0] |= 4
    assert OpusDecoder(16_000).decode(bytes(frame)).shape == (320,)


@pytest.mark.parametrize("rate", [0, 11_025, 44_100, 96_000])
def test_rate_that_opus_does_not_know_is_refused(rate: int) -> None:
    for codec in (OpusEncoder, OpusDecoder):
        with pytest.raises(ValueError, match="Opus knows 8000, 16000, 24000, 48000"):
            codec(rate)


@pytest.mark.parametrize(
    "samples", [np.zeros(479, np.int16), np.zeros((1, 480), np.int16), np.zeros(480, np.float32)], ids=str
)
def test_encoder_takes_whole_frames_only(samples: Samples) -> None:
    with pytest.raises(ValueError, match="a frame takes 480 of int16"):
        OpusEncoder(24_000).encode(samples)


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_no_bytes_harm_the_decoder(garbage: list[bytes]) -> None:
    frames = frames_of(sine(16_000, 0.2), 16_000)
    decoder = OpusDecoder(16_000)
    for frame in garbage:
        with suppress(WireError):
            assert decoder.decode(frame).size <= 1920
    assert [decoder.decode(frame).size for frame in frames] == [320] * 10


def test_lost_frame_sounds_like_its_neighbours_and_many_fade() -> None:
    frames = frames_of(sine(16_000), 16_000)
    decoder = OpusDecoder(16_000)
    before = [decoder.decode(frame) for frame in frames[:25]][-1]
    concealed = [decoder.conceal() for _ in range(20)]
    assert {piece.size for piece in concealed} == {320}
    assert loudness(concealed[0]) > loudness(before) / 2
    assert loudness(concealed[-1]) < loudness(before) / 10


def read(numbers: list[int], frames: list[bytes], rate: int = 16_000) -> tuple[list[Samples], PcmReader]:
    reader = PcmReader(rate)
    return [piece for number in numbers for piece in reader.read(packet(number, frames[number]))], reader


@pytest.mark.parametrize(
    ("lost", "concealed"),
    [(1, 1), (CONCEALED_MAX, CONCEALED_MAX), (CONCEALED_MAX + 1, CONCEALED_MAX), (20, CONCEALED_MAX)],
)
def test_gap_is_concealed_up_to_a_bound(lost: int, concealed: int) -> None:
    frames = frames_of(sine(16_000), 16_000)
    pieces, reader = read([*range(20), *range(20 + lost, 50)], frames)
    assert reader.concealed == concealed
    assert len(pieces) == 50 - lost + concealed


def test_frame_that_libopus_refuses_is_concealed() -> None:
    frames = frames_of(sine(16_000), 16_000)
    frames[10] = bytes([0xFB, 5]) + b"abc"
    pieces, reader = read(list(range(20)), frames)
    assert reader.malformed == 1
    assert len(pieces) == 20


def test_another_stream_is_no_gap() -> None:
    reader = PcmReader(16_000)
    frame = frames_of(sine(16_000), 16_000)[0]
    for number, ssrc in ((1, 1), (2, 1), (900, 2), (901, 2)):
        assert len(reader.read(packet(number, frame, ssrc=ssrc))) == 1
    assert reader.concealed == 0


@given(st.lists(st.integers(0, 70), max_size=30))
def test_pieces_are_of_one_size_and_nothing_is_lost(sizes: list[int]) -> None:
    cutter, samples = Cutter(20), np.arange(sum(sizes), dtype=np.int16)
    pieces, start = [], 0
    for size in sizes:
        pieces += cutter.cut(samples[start : start + size])
        start += size
    assert all(piece.size == 20 for piece in pieces)
    assert np.concatenate([*pieces, cutter.rest]).tolist() == samples.tolist()


@pytest.mark.parametrize(
    ("audio", "samples"),
    [
        pytest.param(np.array([1, -2], np.int16), [1, -2], id="int16"),
        pytest.param(np.array([1, -2], ">i2"), [1, -2], id="the other byte order"),
        pytest.param(np.array([0.5, -1.5], np.float32), [16383, -32767], id="float32"),
        pytest.param(np.array([1.0], np.float64), [32767], id="float64"),
        pytest.param(b"\x01\x00\xfe\xff", [1, -2], id="bytes"),
        pytest.param(bytearray(b"\x01\x00"), [1], id="bytearray"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_samples_are_taken_as_libraries_deliver_them(audio: bytes, samples: list[int]) -> None:
    taken = samples_of(audio)
    assert taken.tolist() == samples
    assert taken.dtype == np.int16
    assert taken.dtype.isnative


@pytest.mark.parametrize(
    ("audio", "problem"),
    [
        pytest.param(np.zeros((2, 10), np.int16), "one channel is one dimension", id="stereo"),
        pytest.param(np.zeros(10, np.int32), "they are int16", id="int32"),
        pytest.param(b"123", "16-bit", id="odd bytes"),
        pytest.param("text", "they are int16", id="text"),
    ],
)
def test_other_samples_are_refused(audio: bytes, problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        samples_of(audio)


def test_longest_packet_fits_at_every_rate() -> None:
    for rate in RATES:
        assert OpusDecoder(rate).decode(bytes([16 << 3 | 3, 48])).size == SAMPLES_MAX * rate // 48_000
