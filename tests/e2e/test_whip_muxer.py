"""FFmpeg's WHIP muxer sends through relay and transceiver: all arrives, sounds as it was, and ends with DELETE."""

from __future__ import annotations

import wave
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.stack import Stack
from tests.e2e.whip_muxer import TONE_HZ, TONE_LEVEL, Broadcast, make_certificate

ACTIVE = {"whip_flags": "dtls_active"}
RECORDED_RATE = 24_000


def test_everything_arrives_and_the_call_ends_with_the_muxer(stack: Stack, tmp_path: Path) -> None:
    with closing(Broadcast(f"{stack.url}/whip", make_certificate(tmp_path) | ACTIVE)) as broadcast:
        broadcast.connect()
        broadcast.speak(1.0)
        (call,) = stack.calls("whip")
        assert (call["way"], call["state"]) == ("whip", "established")
        told = stack.ask(f"/v1/calls/{call['call_id']}/stats")
        assert told["incoming"]["lost"] == 0
        assert broadcast.packets - 2 <= told["incoming"]["packets"] <= broadcast.packets
        assert told["outgoing"]["packets"] == 0, "it has offered to send only"
    assert stack.calls("whip") == []


def test_recording_of_a_broadcast_sounds_as_it_did(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    environment = {"FASTRELAY_RECORDINGS": str(recordings)}
    with Stack(tmp_path, agent="fastrelay.agent.recorder:recorder", environment=environment) as stack:
        with closing(Broadcast(f"{stack.url}/whip", make_certificate(tmp_path) | ACTIVE)) as broadcast:
            broadcast.connect()
            broadcast.speak(2.0)
        assert stack.complaints() == []
    samples = read_wav(next(recordings.glob("rtc_*.wav")))
    assert len(samples) == pytest.approx(2 * RECORDED_RATE, rel=0.05)
    middle = samples[RECORDED_RATE // 2 : -RECORDED_RATE // 4]
    assert np.sqrt(np.mean(np.square(middle))) == pytest.approx(TONE_LEVEL / 2**0.5, rel=0.1)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * RECORDED_RATE / len(middle) == pytest.approx(TONE_HZ, abs=3)


def read_wav(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RECORDED_RATE, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float64)


@pytest.mark.parametrize("options", [pytest.param({}, id="passive"), pytest.param(ACTIVE, id="active")])
def test_certificate_of_a_curve_that_openssl_refuses_fails_at_once_and_is_told(
    stack: Stack, options: dict[str, str]
) -> None:
    before = stack.log.length
    with closing(Broadcast(f"{stack.url}/whip", options)) as broadcast, pytest.raises(OSError, match="Input/output"):
        broadcast.connect()
    assert stack.calls("whip") == []
    assert any("handshake_failed" in line for line in stack.log.lines(before))
