"""Sealed packets are those of RFC 3711 and RFC 7714: by the RFCs' vectors, and by a reading of their text."""

from types import ModuleType

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fastrelay.transceiver import srtp_batch, srtp_session
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.wire.rtp import build_header
from tests.unit.srtp_by_the_book import (
    RTP_AUTH,
    RTP_CIPHER,
    RTP_SALT,
    Book,
    counter_mode,
    derive,
    gcm_nonce,
    keystream_start,
)

PATHS = pytest.mark.parametrize("path", [srtp_batch, srtp_session], ids=["batch", "session"])
PROFILES = pytest.mark.parametrize("profile", SrtpProfile, ids=lambda profile: profile.name)
SSRC = 0xCAFEBABE


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        pytest.param(RTP_CIPHER, "C61E7A93744F39EE10734AFE3FF7A087", id="cipher key"),
        pytest.param(RTP_SALT, "30CBBC08863D8C85D49DB34A9AE1", id="cipher salt"),
        pytest.param(RTP_AUTH, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4", id="authentication key"),
    ],
)
def test_book_derives_the_keys_of_rfc_3711_b3(label: int, expected: str) -> None:
    master_key = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
    master_salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    assert derive(master_key, master_salt, label, len(expected) // 2) == bytes.fromhex(expected)


def test_book_makes_the_keystream_of_rfc_3711_b2() -> None:
    key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    start = keystream_start(bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), ssrc=0, index=0)
    expected = "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"
    assert counter_mode(key, start, bytes(32)) == bytes.fromhex(expected)


def test_book_seals_the_packet_of_rfc_7714_16_1_1() -> None:
    packet = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"
    salt = bytes.fromhex("517569642070726f2071756f")
    nonce = gcm_nonce(salt, ssrc=0x5501A0B2, index=0xF17B)
    assert nonce == bytes.fromhex("51753c6580c2726f20718414")
    assert AESGCM(bytes(range(16))).encrypt(nonce, packet[12:], packet[:12]) == bytes.fromhex(
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
    )


def keys_of(profile: SrtpProfile) -> SrtpKeys:
    length = profile.key_length + profile.salt_length
    return SrtpKeys(profile, local=bytes(range(1, length + 1)), remote=bytes(range(101, length + 101)))


@PATHS
@PROFILES
def test_we_seal_what_the_book_seals_past_a_roll_over(path: ModuleType, profile: SrtpProfile) -> None:
    keys = keys_of(profile)
    outbound = path.SrtpOutbound(keys, ssrc=SSRC, payload_type=111, first_sequence=0xFFFE)
    for at in range(4):
        header = build_header(111, (0xFFFE + at) & 0xFFFF, 960 * at, SSRC, is_marked=at == 0)
        expected = Book(profile, keys.local).seal_rtp(header + b"speech", roll_overs=at // 2)
        assert path.seal_rtp([(outbound, b"speech", 960 * at, at == 0)]) == [expected]


@PATHS
@PROFILES
def test_we_open_what_the_book_seals_past_a_roll_over(path: ModuleType, profile: SrtpProfile) -> None:
    keys = keys_of(profile)
    inbound = path.SrtpInbound(keys, payload_types=frozenset({111}))
    for at in range(4):
        packet = build_header(111, (0xFFFE + at) & 0xFFFF, 960 * at, SSRC, is_marked=False) + b"speech"
        (opened,) = path.open_rtp([(inbound, Book(profile, keys.remote).seal_rtp(packet, roll_overs=at // 2))], 0)
        assert (opened.payload, opened.extended_sequence) == (b"speech", 0xFFFE + at)


@PATHS
@PROFILES
def test_rtcp_is_sealed_and_opened_as_the_book_does(path: ModuleType, profile: SrtpProfile) -> None:
    keys = keys_of(profile)
    inbound = path.SrtpInbound(keys, payload_types=frozenset({111}))
    outbound = path.SrtpOutbound(keys, ssrc=SSRC, payload_type=111, first_sequence=0)
    report = bytes.fromhex("80c90001cafebabe") + bytes.fromhex("81ca0003cafebabe") + b"\x01\x04name\0\0"
    for index in (1, 2):
        assert outbound.seal_rtcp(report) == Book(profile, keys.local).seal_rtcp(report, index)
        assert inbound.open_rtcp(Book(profile, keys.remote).seal_rtcp(report, index)) == report
