"""What is measured, in a process of its own: the real relay loop, or the floor under it, a loop that only receives.

Lives here: the two loops as `python -m fastrelay.doctor.subject` runs them until they are killed; the setup is one JSON
line on standard input, sockets and the counter page are inherited. Must not live here: what they are given to do
(drain), what comes of it (capacity).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.doctor.parties import FLOWS, KEY_ID, NETWORK, client_ip, transceiver_of
from fastrelay.relay.dataplane.limits import Limits

HOUR_MS: Final = 3_600_000
COUNT: Final = struct.Struct("=Q")
"""The floor's whole counter page: packets received."""
BATCH: Final = 64
PACKET_BYTES_MAX: Final = 2048
PR_SET_PDEATHSIG: Final = 1
MSG_WAITFORONE: Final = 0x10000


def serve_relay(setup: Mapping[str, Any]) -> None:
    """A relay over flows that exist already; it is paused for longer than a relay should be, so none may expire."""
    listener, trunk = setup["listener"], setup["trunk"]
    ip, port = setup["address"]
    with mmap.mmap(setup["counters"], 0) as counters:
        loop = RelayLoop(
            [(KEY_ID, bytes.fromhex(setup["secret"]), 0, None)],
            [NETWORK],
            0,
            [(0, ip, port, 0)],
            Limits(idle_after_ms=HOUR_MS),
            time.time_ns() // 1000,
            listeners=[(listener, socket.AF_INET, ip, port, False, True)],
            trunk=(trunk, socket.AF_INET),
            is_offloading=setup["is_offloading"],
            counter_page=counters,
        )
        for flow in range(FLOWS):
            transceiver_ip, transceiver_port = setup["transceivers"][transceiver_of(flow)]
            loop.insert_flow((client_ip(flow), setup["client_port"]), (transceiver_ip, transceiver_port))
        _say_ready()
        while True:
            loop.run(1000)


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_IoVec)),
        ("iov_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint))


def serve_floor(setup: Mapping[str, Any]) -> None:
    """Nothing but recvmmsg: the least that any relay on this kernel pays for a packet."""
    packets = ctypes.create_string_buffer(BATCH * PACKET_BYTES_MAX)
    names = ctypes.create_string_buffer(BATCH * 16)  # struct sockaddr_in
    vectors, messages = (_IoVec * BATCH)(), (_MMsgHdr * BATCH)()
    for at in range(BATCH):
        vectors[at] = _IoVec(ctypes.addressof(packets) + at * PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        vector = ctypes.pointer(vectors[at])
        messages[at].header = _MsgHdr(ctypes.addressof(names) + at * 16, 16, vector, 1, None, 0, 0)
    receive = ctypes.CDLL(None, use_errno=True).recvmmsg
    listener, received = setup["listener"], 0
    os.set_blocking(listener, True)
    with mmap.mmap(setup["counters"], 0) as counters:
        _say_ready()
        while True:
            count = receive(listener, messages, BATCH, MSG_WAITFORONE, None)
            if count < 0:
                raise OSError(ctypes.get_errno(), "recvmmsg")
            received += count
            COUNT.pack_into(counters, 0, received)


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _end_with(parent: int) -> None:
    """Even paused it must not outlive whoever measures."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Runs what the setup names."""
    setup = json.loads(sys.stdin.readline())
    _end_with(setup["parent"])
    os.sched_setaffinity(0, {setup["cpu"]})
    (serve_relay if setup["subject"] == "relay" else serve_floor)(setup)


if __name__ == "__main__":
    main()
