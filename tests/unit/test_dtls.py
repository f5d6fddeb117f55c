"""A DTLS end: roles, keys, whom it believes, data, the end, and its bounds in size and time."""

import pytest

from fastrelay.errors import PeerError
from fastrelay.transceiver.certificate import fingerprint_of
from fastrelay.transceiver.dtls import QUEUE_MAX, DtlsEndpoint, DtlsFailure, DtlsRole, DtlsState
from fastrelay.transceiver.keying import SrtpProfile
from tests.unit.dtls_ends import MTU_BYTES, Wire, certificate, connected, contexts, endpoint, named

GCM, CM = SrtpProfile.AEAD_AES_128_GCM, SrtpProfile.AES128_CM_SHA1_80


def wire_of_profiles(passive: tuple[SrtpProfile, ...], active: tuple[SrtpProfile, ...]) -> Wire:
    one = DtlsEndpoint(contexts("one", passive), DtlsRole.PASSIVE, named("other"))
    other = DtlsEndpoint(contexts("other", active), DtlsRole.ACTIVE, named("one"))
    wire = Wire(one, other)
    wire.start()
    wire.settle()
    return wire


def test_both_ends_reach_the_same_keys() -> None:
    wire = connected()
    passive, active = wire.passive.keys, wire.active.keys
    assert passive is not None
    assert active is not None
    assert passive.local == active.remote != passive.remote == active.local
    assert len(passive.local) == passive.profile.key_length + passive.profile.salt_length
    assert wire.passive.version == wire.active.version == "DTLSv1.2"


def test_keys_are_those_of_the_exporter_in_the_order_of_rfc_5764() -> None:
    wire = connected()
    connection = wire.passive._connection
    assert connection is not None
    material = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (16 + 12), None)
    client_key, server_key, client_salt, server_salt = material[:16], material[16:32], material[32:44], material[44:]
    assert wire.passive.keys is not None
    assert wire.passive.keys.remote == client_key + client_salt
    assert wire.passive.keys.local == server_key + server_salt


@pytest.mark.parametrize(
    ("passive", "active", "agreed"),
    [
        pytest.param((GCM, CM), (GCM, CM), GCM, id="both like both"),
        pytest.param((GCM, CM), (CM, GCM), GCM, id="the server chooses"),
        pytest.param((GCM, CM), (CM,), CM, id="the client knows CM alone"),
        pytest.param((CM,), (GCM, CM), CM, id="the server knows CM alone"),
    ],
)
def test_the_profile_is_the_servers_first_that_both_know(
    passive: tuple[SrtpProfile, ...], active: tuple[SrtpProfile, ...], agreed: SrtpProfile
) -> None:
    wire = wire_of_profiles(passive, active)
    assert wire.passive.keys is not None
    assert wire.active.keys is not None
    assert wire.passive.keys.profile is wire.active.keys.profile is agreed
    assert wire.passive.keys.local == wire.active.keys.remote
    assert len(wire.passive.keys.local) == agreed.key_length + agreed.salt_length


def test_no_profile_in_common_fails_both_ends() -> None:
    wire = wire_of_profiles((GCM,), (CM,))
    for end in (wire.passive, wire.active):
        assert (end.state, end.failure) == (DtlsState.FAILED, DtlsFailure.NO_SRTP_PROFILE)
        assert end.keys is None


@pytest.mark.parametrize("role", DtlsRole)
@pytest.mark.parametrize("kind", ["rsa", "p384"])
def test_a_peer_with_another_kind_of_key_connects(role: DtlsRole, kind: str) -> None:
    if role is DtlsRole.PASSIVE:
        wire = Wire(endpoint(role, own=kind), endpoint(DtlsRole.ACTIVE, peer=kind))
    else:
        wire = Wire(endpoint(DtlsRole.PASSIVE, peer=kind), endpoint(role, own=kind))
    wire.start()
    wire.settle()
    assert wire.is_up


@pytest.mark.parametrize("deceived", DtlsRole)
def test_a_certificate_that_was_not_named_fails_and_yields_no_keys(deceived: DtlsRole) -> None:
    wire = Wire()
    if deceived is DtlsRole.PASSIVE:
        wire.passive = endpoint(deceived, peer="somebody else")
        one, other = wire.passive, wire.active
    else:
        wire.active = endpoint(deceived, peer="somebody else")
        one, other = wire.active, wire.passive
    wire.start()
    wire.settle()
    assert (one.state, one.failure, one.keys) == (DtlsState.FAILED, DtlsFailure.WRONG_FINGERPRINT, None)
    assert (other.state, other.failure) == (DtlsState.FAILED, DtlsFailure.PROTOCOL)
    assert "alert" in other.detail


@pytest.mark.parametrize("algorithm", ["sha-256", "SHA-384", "sha-512"])
def test_one_fingerprint_of_several_is_enough_in_any_case(algorithm: str) -> None:
    value = fingerprint_of(certificate(DtlsRole.ACTIVE.name).certificate, algorithm.lower()).lower()
    names = [("sha-1", "00:11"), *named("somebody else"), (algorithm, value)]
    wire = Wire(DtlsEndpoint(contexts(DtlsRole.PASSIVE.name), DtlsRole.PASSIVE, names))
    wire.start()
    wire.settle()
    assert wire.is_up


@pytest.mark.parametrize("names", [[], ["sha-1"], ["md5", "sha-1"]], ids=["none", "sha-1", "weak ones"])
def test_fingerprints_that_can_be_forged_are_refused(names: list[str]) -> None:
    with pytest.raises(PeerError, match="sha-256"):
        DtlsEndpoint(contexts(DtlsRole.PASSIVE.name), DtlsRole.PASSIVE, [(name, "00:11:22") for name in names])


@pytest.mark.parametrize("mtu_bytes", [256, 576, 1200, 1452])
def test_no_datagram_exceeds_the_mtu(mtu_bytes: int) -> None:
    wire = Wire(endpoint(DtlsRole.PASSIVE, mtu_bytes=mtu_bytes), endpoint(DtlsRole.ACTIVE, mtu_bytes=mtu_bytes))
    wire.start()
    wire.settle()
    assert wire.is_up
    assert max(map(len, wire.carried)) <= mtu_bytes


def test_data_goes_both_ways_record_by_record() -> None:
    wire = connected()
    for sender, receiver in ((wire.passive, wire.active), (wire.active, wire.passive)):
        assert sender.send(b"one")
        assert sender.send(b"two")
        wire.settle()
        assert receiver.take_received() == [b"one", b"two"]
        assert receiver.take_received() == []


def test_data_is_sent_up_to_what_fits_a_datagram() -> None:
    wire = connected()
    longest = next(size for size in range(MTU_BYTES, 0, -1) if wire.active.send(bytes(size)))
    wire.settle()
    assert longest > 1150  # SCTP chunks have 1,100
    assert wire.passive.take_received() == [bytes(longest)]
    assert len(wire.carried[-1]) <= MTU_BYTES
    assert not wire.active.send(bytes(longest + 1))
    assert not wire.active.send(b"")


def test_nothing_is_sent_before_the_handshake_or_after_the_end() -> None:
    end = endpoint(DtlsRole.ACTIVE)
    assert not end.send(b"early")
    end.start(0.0)
    assert not end.send(b"early")
    end.close(0.0)
    assert not end.send(b"late")


@pytest.mark.parametrize("first", DtlsRole)
def test_close_is_heard_by_the_peer(first: DtlsRole) -> None:
    wire = connected()
    closing, hearing = (wire.passive, wire.active) if first is DtlsRole.PASSIVE else (wire.active, wire.passive)
    closing.send(b"last words")
    closing.close(0.0)
    wire.settle()
    assert closing.state is hearing.state is DtlsState.CLOSED
    assert hearing.take_received() == [b"last words"]
    assert hearing.failure is None
    assert not hearing.send(b"too late")


@pytest.mark.parametrize("is_started", [False, True], ids=["new", "handshaking"])
def test_closing_before_the_handshake_is_through_says_nothing(is_started: bool) -> None:
    end = endpoint(DtlsRole.ACTIVE)
    if is_started:
        end.start(0.0)
        end.take_outgoing()
    end.close(0.0)
    end.close(0.0)
    assert end.state is DtlsState.CLOSED
    assert end.take_outgoing() == []
    assert end.next_timer_s() is None


def test_what_comes_before_the_start_or_after_the_end_is_dropped_and_counted() -> None:
    end = endpoint(DtlsRole.PASSIVE)
    end.handle(b"\x16", 0.0)
    end.close(0.0)
    end.handle(b"\x16", 0.0)
    end.start(0.0)
    assert (end.state, end.dropped) == (DtlsState.CLOSED, 2)


def test_a_handshake_that_nobody_answers_fails_in_time() -> None:
    end = endpoint(DtlsRole.ACTIVE, timeout_s=3.0)
    end.start(5.0)
    while (due_s := end.next_timer_s()) is not None:
        assert due_s <= 8.0
        end.handle_timer(due_s)
    assert (end.state, end.failure) == (DtlsState.FAILED, DtlsFailure.TIMEOUT)


def test_a_passive_end_gives_up_on_a_peer_that_never_speaks() -> None:
    end = endpoint(DtlsRole.PASSIVE, timeout_s=3.0)
    end.start(0.0)
    assert end.next_timer_s() == 3.0
    end.handle_timer(2.999)
    assert end.state is DtlsState.HANDSHAKING
    end.handle_timer(3.0)
    assert end.failure is DtlsFailure.TIMEOUT
    assert end.take_outgoing() == []


def test_messages_that_nobody_takes_are_bounded() -> None:
    wire = connected()
    for _ in range(QUEUE_MAX + 3):
        wire.active.send(b"message")
        wire.settle()
    assert wire.passive.dropped == 3
    assert len(wire.passive.take_received()) == QUEUE_MAX


def test_keys_are_never_shown() -> None:
    keys = connected().passive.keys
    assert keys is not None
    assert repr(keys) == "SrtpKeys(AEAD_AES_128_GCM)"
