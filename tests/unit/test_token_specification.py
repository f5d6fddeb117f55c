"""docs/route-token.md written out a third time, from AES and SHA-256 up, against the published vectors.

And the RFCs that it stands on, against what this project calls for them.
"""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastrelay._ext.codec import hmac_digest
from fastrelay.routing.keys import KeyRing

VECTORS = json.loads((Path(__file__).parents[1] / "data/token_vectors.json").read_text())


def cmac(key: bytes, message: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def siv(key: bytes, associated: bytes, plaintext: bytes) -> bytes:
    """RFC 5297 §2.4 and §2.6 for one string of associated data and a plaintext of at least 16 bytes."""
    doubled = int.from_bytes(cmac(key[:16], bytes(16))) << 1
    if doubled >> 128:
        doubled ^= 1 << 128 | 0x87
    accumulated = xor(doubled.to_bytes(16), cmac(key[:16], associated))
    tag = cmac(key[:16], plaintext[:-16] + xor(plaintext[-16:], accumulated))
    counter = int.from_bytes(tag) & ~(1 << 63 | 1 << 31)
    encryptor = Cipher(AES(key[16:]), CTR(counter.to_bytes(16))).encryptor()
    return tag + encryptor.update(plaintext) + encryptor.finalize()


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 §2.2 and §2.3 with an empty salt, for at most 32 bytes."""
    extracted = hmac.digest(b"", secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")[:length]


@pytest.mark.parametrize("vector", VECTORS["derived"], ids=lambda vector: f"key {vector['id']}")
def test_keys_follow_from_the_specification(vector: dict[str, Any]) -> None:
    entry = next(entry for entry in VECTORS["ring"]["keys"] if entry["id"] == vector["id"])
    secret = base64.urlsafe_b64decode(entry["secret"] + "=")
    assert hkdf(secret, b"fastrelay route token v1", 32).hex() == vector["siv"]
    assert hkdf(secret, b"fastrelay ice password v1", 32).hex() == vector["ice"]
    assert hkdf(secret, b"fastrelay trunk mac v1", 16).hex() == vector["trunk"]


@pytest.mark.parametrize("vector", VECTORS["opens"], ids=lambda vector: vector["name"])
def test_text_and_password_follow_from_the_specification(vector: dict[str, Any]) -> None:
    keys = next(derived for derived in VECTORS["derived"] if derived["id"] == vector["key"])
    header = bytes([1 << 4 | vector["key"]])
    sealed = header + siv(bytes.fromhex(keys["siv"]), header, bytes.fromhex(vector["fields"]))
    assert base64.b64encode(sealed).decode().rstrip("=") == vector["text"]
    mac = hmac.new(bytes.fromhex(keys["ice"]), vector["text"].encode(), hashlib.sha256).digest()
    assert base64.b64encode(mac[:18]).decode() == vector["password"]


def test_the_page_walks_through_the_first_vector() -> None:
    page = (Path(__file__).parents[2] / "docs/route-token.md").read_text()
    steps = dict(
        re.findall(r"^(siv key|ice key|fields|header|tag|sealed fields|text|password) +(\S+)$", page, re.MULTILINE)
    )
    vector = VECTORS["opens"][0]
    keys = next(derived for derived in VECTORS["derived"] if derived["id"] == vector["key"])
    token = base64.b64decode(vector["text"] + "==")
    assert steps == {
        "siv key": keys["siv"],
        "ice key": keys["ice"],
        "fields": vector["fields"],
        "header": token[:1].hex(),
        "tag": token[1:17].hex(),
        "sealed fields": token[17:].hex(),
        "text": vector["text"],
        "password": vector["password"],
    }


def test_the_page_shows_a_ring_that_can_be_used() -> None:
    page = (Path(__file__).parents[2] / "docs/route-token.md").read_text()
    shown = re.search(r"```json\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert [key.id for key in KeyRing.parse(shown[1]).keys] == [0, 1]


def test_aes_siv_is_that_of_rfc_5297_a1() -> None:
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    associated = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    plaintext = bytes.fromhex("112233445566778899aabbccddee")
    sealed = "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    assert AESSIV(key).encrypt(plaintext, [associated]).hex() == sealed


def test_hkdf_without_salt_is_that_of_rfc_5869_a3() -> None:
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert HKDF(algorithm=SHA256(), length=42, salt=None, info=b"").derive(b"\x0b" * 22).hex() == expected


@pytest.mark.parametrize(
    ("digest", "key", "message", "expected"),
    [
        pytest.param("SHA1", b"\x0b" * 20, b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00", id="RFC 2202 1"),
        pytest.param(
            "SHA256",
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            id="RFC 4231 2",
        ),
        pytest.param("SHA256", b"", b"", hmac.digest(b"", b"", "sha256").hex(), id="nothing under no key"),
    ],
)
def test_hmac_in_c_is_that_of_the_rfcs(digest: str, key: bytes, message: bytes, expected: str) -> None:
    length = len(expected) // 2
    assert hmac_digest(digest, key, message, length).hex() == expected
    assert hmac_digest(digest, key, message, 10).hex() == expected[:20]
    with pytest.raises(ValueError, match="shorter"):
        hmac_digest(digest, key, message, length + 1)


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(OSError, match="libcrypto"):
        hmac_digest("SHA0", b"", b"", 1)
