"""The trunk's datagrams as Python sees them: the door for tests and vectors, beside codec.pyx."""

from typing import TypeAlias

_Header: TypeAlias = tuple[int, int, int, int, int, int, int]
_Frame: TypeAlias = tuple[bytes, int, int, bytes, bool]
_Hello: TypeAlias = tuple[int, int, int, int, int, int]

def cmac(key: bytes, message: bytes, is_portable: bool = False) -> bytes:
    """The sixteen bytes of AES-128-CMAC, by libcrypto's AES if asked to, else by the fastest there is."""

def parse_bundle(datagram: bytes, trunk_key: bytes) -> tuple[int, _Header | None, list[_Frame]]:
    """The verdict; and if it is 0 the header's fields and (address, port, scope, payload, closes) of each frame."""

def parse_hello(datagram: bytes, trunk_key: bytes) -> tuple[int, _Header | None, _Hello | None]:
    """The verdict; and if it is 0 the header's fields and (sent at, echo, echo delay, flags, received, lost)."""

def build_hello(kind: int, key_id: int, trunk_key: bytes, epoch_us: int, sequence: int, hello: _Hello) -> bytes:
    """One HELLO of (sent at, echo, echo delay, flags, received, lost)."""

def build_bundles(
    kind: int, key_id: int, trunk_key: bytes, epoch_us: int, first_sequence: int, via: int, frames: list[_Frame]
) -> list[tuple[int, list[bytes]]]:
    """The bursts that these frames make, each as its segment size and its datagrams as they would travel."""
