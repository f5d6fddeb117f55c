"""FFmpeg's WHIP muxer, inside PyAV, sending a tone.

Lives here: opening it, speaking through it at real time, and a certificate that it can use. Must not live here: what
comes of it at the server.

The muxer of FFmpeg 8.1 with GnuTLS, as PyAV 18 brings it, wants two options: its own certificate is of a curve (P-224)
that OpenSSL refuses; and unless it begins the DTLS handshake (`whip_flags=dtls_active`), it waits for a datagram of the
server's before it sends one of its own.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

RATE = 48_000
FRAME = 960
FRAME_S = FRAME / RATE
TONE_HZ = 600.0
TONE_LEVEL = 8000


def make_certificate(folder: Path) -> dict[str, str]:
    """Write a certificate of curve P-256 and its key; returns the muxer's options that name them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broadcaster")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"cert_file": str(certificate_file), "key_file": str(key_file)}


class Broadcast:
    """One WHIP session of the muxer. It calls when it first speaks, and hangs up when it is closed."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        container = av.open(url, "w", format="whip", options=options)
        assert isinstance(container, OutputContainer)
        self._container = container
        self._stream: AudioStream = container.add_stream("libopus", rate=RATE, bit_rate=32_000, layout="stereo")
        self._samples = 0
        self.packets = 0
        """Handed to the muxer."""

    def connect(self) -> None:
        """Offer, take the answer, and shake hands: OSError when that fails."""
        self._container.start_encoding()

    def speak(self, seconds: float) -> None:
        """Send a tone for so long, at real time."""
        begun_s = time.monotonic()
        for number in range(round(seconds / FRAME_S)):
            time.sleep(max(begun_s + number * FRAME_S - time.monotonic(), 0))
            at = (self._samples + np.arange(FRAME)) * (2 * np.pi * TONE_HZ / RATE)
            tone = np.repeat((np.sin(at) * TONE_LEVEL).astype(np.int16), 2)
            frame = av.AudioFrame.from_ndarray(tone[None, :], format="s16", layout="stereo")
            frame.sample_rate, frame.pts = RATE, self._samples
            self._samples += FRAME
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
                self.packets += 1

    def close(self) -> None:
        """Hang up."""
        self._container.close()
