"""A worker's certificate for HTTPS: it is used as it is, or the operator hears which file is in the way."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fastrelay.errors import ConfigError
from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.worker.signalling import tls_context

PEM = serialization.Encoding.PEM
OPEN_KEY = serialization.NoEncryption()


def written(folder: Path, encryption: serialization.KeySerializationEncryption = OPEN_KEY) -> tuple[Path, Path]:
    made = Certificate.generate(time.time())
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(made.certificate.public_bytes(PEM))
    key_file.touch(0o600)
    key_file.write_bytes(made.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption))
    return certificate_file, key_file


def test_certificate_and_its_key_make_https(tmp_path: Path) -> None:
    assert tls_context(*written(tmp_path)) is not None
    assert tls_context(None, None) is None


def test_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    certificate_file, key_file = written(tmp_path)
    key_file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"http\.key_file: .*chmod 600"):
        tls_context(certificate_file, key_file)


def test_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate_file, key_file = written(tmp_path)
    other = ec.generate_private_key(ec.SECP256R1())
    key_file.write_bytes(other.private_bytes(PEM, serialization.PrivateFormat.PKCS8, OPEN_KEY))
    with pytest.raises(ConfigError, match=r"http\.certificate_file: .*KEY_VALUES_MISMATCH"):
        tls_context(certificate_file, key_file)


def test_encrypted_key_is_refused_and_not_asked_about(tmp_path: Path) -> None:
    files = written(tmp_path, serialization.BestAvailableEncryption(b"a password"))
    with pytest.raises(ConfigError, match=r"http\.certificate_file"):
        tls_context(*files)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.*No such file"):
        tls_context(tmp_path / "nowhere", tmp_path / "nowhere")
