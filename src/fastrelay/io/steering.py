"""Choosing the worker of a client's packet in the kernel, before any of them wakes.

Lives here: the classic BPF programs for a group of sockets that share a port, and attaching them. No privilege is
needed. Must not live here: which workers may be chosen (relay.crew).

A program returns the place of a socket in its group, which is the order in which the sockets were bound. A packet for
which it returns no valid place goes where the kernel's own hash says: never lost, and the worker it reaches finds the
flow in its sibling's table. So steering is about speed and about retiring workers, and correctness never hangs on it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

from fastrelay.errors import ConfigError

Instruction: TypeAlias = tuple[int, int, int, int]
"""struct sock_filter: code, jump if true, jump if false, constant."""

SO_ATTACH_REUSEPORT_CBPF: Final = 51
SO_DETACH_REUSEPORT_BPF: Final = 68

# linux/bpf_common.h and linux/filter.h
_LOAD_WORD, _LOAD_CONSTANT = 0x20, 0x00
_STORE, _LOAD_STORED_X = 0x02, 0x61
_XOR_X, _MULTIPLY, _SHIFT_RIGHT, _MODULO = 0xAC, 0x24, 0x74, 0x94
_JUMP_EQUAL, _RETURN_CONSTANT, _RETURN_A = 0x15, 0x06, 0x16
_NETWORK_HEADER: Final = (1 << 32) - 0x100000  # SKF_NET_OFF: offsets count from the IP header
_THIS_CPU: Final = (1 << 32) - 0x1000 + 36  # SKF_AD_OFF + SKF_AD_CPU
_NOWHERE: Final = (1 << 32) - 1

# Fibonacci hashing: the product's high bits depend on every bit of the factor
_GOLDEN: Final = 0x9E3779B1


def by_client(family: int, places: Sequence[int], salt: int) -> list[Instruction]:
    """Spread clients evenly over these places by a hash of address and port; one client always gets the same.

    `salt` keeps a stranger from aiming many addresses at one worker. A packet with IP options or extension headers in
    front of its ports is spread by other bytes of itself, which is as good.
    """
    # where source address and ports stand, counted from the IP header
    words = [8, 12, 16, 20, 40] if family == socket.AF_INET6 else [12, 20]
    program: list[Instruction] = [(_LOAD_CONSTANT, 0, 0, salt & 0xFFFFFFFF)]
    for offset in words:
        program += [
            (_STORE, 0, 0, 0),
            (_LOAD_WORD, 0, 0, _NETWORK_HEADER + offset),
            (_LOAD_STORED_X, 0, 0, 0),
            (_XOR_X, 0, 0, 0),
            (_MULTIPLY, 0, 0, _GOLDEN),
        ]
    # the high half: the low bits of a product know only the low bits of its factors
    program += [(_SHIFT_RIGHT, 0, 0, 16), (_MODULO, 0, 0, len(places))]
    return program + _choose(list(enumerate(places)))


def by_cpu(places: Sequence[tuple[int, int]]) -> list[Instruction]:
    """The worker on the CPU that took the packet from its card: (cpu, place) pairs. Other CPUs: the kernel's hash."""
    return [(_LOAD_WORD, 0, 0, _THIS_CPU), *_choose(places)]


def _choose(places: Sequence[tuple[int, int]]) -> list[Instruction]:
    """A is one of the first numbers: return the second beside it."""
    if list(places) == [(place, place) for place in range(len(places))]:
        return [(_RETURN_A, 0, 0, 0)]
    program: list[Instruction] = []
    for number, place in places:
        program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN_CONSTANT, 0, 0, place)]
    return [*program, (_RETURN_CONSTANT, 0, 0, _NOWHERE)]


def attach(member: socket.socket, program: Sequence[Instruction]) -> None:
    """Let this program choose for the whole group that `member` belongs to; it replaces the one before at once."""
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    code = ctypes.create_string_buffer(packed, len(packed))
    described = struct.pack("@HP", len(program), ctypes.addressof(code))
    try:
        member.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, described)
    except OSError as error:
        raise ConfigError("--steering", f"the kernel refuses to steer: {error.strerror}") from error


def detach(member: socket.socket) -> None:
    """Leave the choice to the kernel again."""
    try:
        member.setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, b"\0\0\0\0")
    except FileNotFoundError:
        return  # there was no program
