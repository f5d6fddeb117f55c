"""SRTP of 100-byte payloads, in batches: each call of another session. `session` is pylibsrtp's public interface.

A round is a batch; divide by its size, which is in the name, for the cost of a packet.
"""

import itertools
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastrelay.transceiver import srtp_batch, srtp_session
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.wire.rtp import SrtpRefusal

PATHS = pytest.mark.parametrize("path", [srtp_batch, srtp_session], ids=["batch", "session"])
PROFILES = pytest.mark.parametrize("profile", SrtpProfile, ids=lambda profile: profile.name)
SIZES = pytest.mark.parametrize("size", [1, 16, 128])
OPUS = 111
PAYLOAD = bytes(100)


def keys_of(profile: SrtpProfile) -> SrtpKeys:
    key = bytes(range(profile.key_length + profile.salt_length))
    return SrtpKeys(profile, local=key, remote=key)


class Sender:
    """As many streams as a batch has packets, and their clock."""

    def __init__(self, path: ModuleType, profile: SrtpProfile, size: int) -> None:
        keys = keys_of(profile)
        self._path = path
        self._frames = itertools.count()
        self._streams = [
            path.SrtpOutbound(keys, ssrc=ssrc, payload_type=OPUS, first_sequence=0) for ssrc in range(size)
        ]

    def seal(self) -> list[bytes]:
        timestamp = next(self._frames) * 960
        sealed: list[bytes] = self._path.seal_rtp([(stream, PAYLOAD, timestamp, False) for stream in self._streams])
        return sealed


@PATHS
@PROFILES
@SIZES
def test_seal(benchmark: BenchmarkFixture, path: ModuleType, profile: SrtpProfile, size: int) -> None:
    sender = Sender(path, profile, size)
    assert len(benchmark(sender.seal)) == size


@PATHS
@PROFILES
@SIZES
def test_seal_and_open(benchmark: BenchmarkFixture, path: ModuleType, profile: SrtpProfile, size: int) -> None:
    """Both, because a packet opens only once."""
    sender = Sender(path, profile, size)
    streams = [path.SrtpInbound(keys_of(profile), payload_types=frozenset({OPUS})) for _ in range(size)]

    def seal_and_open() -> list[object]:
        results: list[object] = path.open_rtp(list(zip(streams, sender.seal(), strict=True)), 0)
        return results

    assert not any(isinstance(packet, SrtpRefusal) for packet in benchmark(seal_and_open))
