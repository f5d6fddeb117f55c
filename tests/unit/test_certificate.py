"""The certificate of a process, and fingerprints as SDP writes them."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fastrelay.transceiver.certificate import HASHES, VALID_DAYS, Certificate, fingerprint_of

NOW_UNIX_S = 1_800_000_000.0
NOW = datetime.fromtimestamp(NOW_UNIX_S, UTC)


def test_a_fingerprint_is_the_digest_of_the_der_in_upper_case_pairs() -> None:
    certificate = Certificate.generate(NOW_UNIX_S)
    assert certificate.fingerprint.replace(":", "").lower() == hashlib.sha256(certificate.der).hexdigest()
    assert re.fullmatch(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}", certificate.fingerprint)


@pytest.mark.parametrize("algorithm", HASHES)
def test_every_digest_that_is_accepted_can_be_made(algorithm: str) -> None:
    certificate = Certificate.generate(NOW_UNIX_S)
    expected = hashlib.new(algorithm.replace("-", ""), certificate.der).hexdigest()
    assert fingerprint_of(certificate.certificate, algorithm).replace(":", "").lower() == expected


def test_each_certificate_is_another_one_over_p256() -> None:
    one, other = Certificate.generate(NOW_UNIX_S), Certificate.generate(NOW_UNIX_S)
    assert one.fingerprint != other.fingerprint
    assert isinstance(one.key, ec.EllipticCurvePrivateKey)
    assert one.key.curve.name == "secp256r1"


def test_it_is_valid_for_clocks_a_day_behind_and_for_a_year() -> None:
    certificate = Certificate.generate(NOW_UNIX_S).certificate
    assert certificate.not_valid_before_utc == NOW - timedelta(days=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=VALID_DAYS)


def test_it_tells_nothing_of_its_host_and_never_shows_its_key() -> None:
    certificate = Certificate.generate(NOW_UNIX_S)
    assert certificate.certificate.subject.rfc4514_string() == "CN=fastrelay"
    assert "key" not in repr(certificate).lower()
