"""SipHash-2-4, the keyed hash that makes the trunk's MAC.

Lives here: the function of Aumasson and Bernstein's paper, written to be read beside it.
Must not live here: key derivation, or any idea of what is hashed.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack, unpack_from

KEY_BYTES = 16
HASH_BYTES = 8
COMPRESSION_ROUNDS = 2
FINALIZATION_ROUNDS = 4

_WORD = 0xFFFF_FFFF_FFFF_FFFF
# "somepseudorandomlygeneratedbytes", section 2.1 of the paper
_INITIAL = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)

_State = tuple[int, int, int, int]


def siphash24(key: bytes, message: bytes) -> bytes:
    """The eight bytes of SipHash-2-4, in the order every implementation prints them."""
    k0, k1 = unpack("<QQ", key)
    state = (_INITIAL[0] ^ k0, _INITIAL[1] ^ k1, _INITIAL[2] ^ k0, _INITIAL[3] ^ k1)
    for word in _words(message):
        v0, v1, v2, v3 = _rounds((state[0], state[1], state[2], state[3] ^ word), COMPRESSION_ROUNDS)
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = _rounds((state[0], state[1], state[2] ^ 0xFF, state[3]), FINALIZATION_ROUNDS)
    return pack("<Q", v0 ^ v1 ^ v2 ^ v3)


def _words(message: bytes) -> Iterator[int]:
    """Whole words, then one of what is left with the message's length in its top byte."""
    whole = len(message) - len(message) % 8
    for offset in range(0, whole, 8):
        yield unpack_from("<Q", message, offset)[0]
    yield int.from_bytes(message[whole:], "little") | (len(message) & 0xFF) << 56


def _rounds(state: _State, count: int) -> _State:
    v0, v1, v2, v3 = state
    for _ in range(count):
        v0 = (v0 + v1) & _WORD
        v2 = (v2 + v3) & _WORD
        v1 = _rotated(v1, 13) ^ v0
        v3 = _rotated(v3, 16) ^ v2
        v0 = _rotated(v0, 32)
        v2 = (v2 + v1) & _WORD
        v0 = (v0 + v3) & _WORD
        v1 = _rotated(v1, 17) ^ v2
        v3 = _rotated(v3, 21) ^ v0
        v2 = _rotated(v2, 32)
    return v0, v1, v2, v3


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _WORD
