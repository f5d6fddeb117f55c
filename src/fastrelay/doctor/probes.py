"""What only trying can tell, on the machine that this process runs on.

Lives here: system calls, over loopback or asking the kernel. Must not live here: judging the answers.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from pathlib import Path

from fastrelay._ext.host import offload_works
from fastrelay.doctor.host import Host, Probes
from fastrelay.errors import ConfigError
from fastrelay.io.sockets import BUFFER_BYTES, open_listener
from fastrelay.io.steering import attach, by_client

_STA_UNSYNC = 0x40
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), of which three fields are of interest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def this_host() -> Host:
    """This machine, as this process sees it."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Host(
        root=Path("/"),
        cpus=frozenset(os.sched_getaffinity(0)),
        open_files=soft if soft != resource.RLIM_INFINITY else 1 << 30,
        probes=_probes(),
    )


def _probes() -> Probes:
    receive_bytes, send_bytes = _granted_buffers()
    is_synchronised, error_us, clock_trouble = _clock()
    return Probes(
        receive_buffer_bytes=receive_bytes,
        send_buffer_bytes=send_bytes,
        has_offload_v4=offload_works(False),
        has_offload_v6=offload_works(True),
        has_ipv6=_has_ipv6(),
        steering_trouble=_steering_trouble(),
        is_clock_synchronised=is_synchronised,
        clock_error_us=error_us,
        clock_trouble=clock_trouble,
    )


def _granted_buffers() -> tuple[int, int]:
    """Of a socket opened as a relay opens its own."""
    with open_listener("127.0.0.1", 0, buffer_bytes=BUFFER_BYTES).socket as udp:
        # the kernel doubles what it is asked for, to cover its own bookkeeping
        return (
            udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2,
            udp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2,
        )


def _steering_trouble() -> str:
    with open_listener("127.0.0.1", 0).socket as udp:
        try:
            attach(udp, by_client(socket.AF_INET, [0], 0))
        except ConfigError as error:
            return error.problem
    return ""


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
            udp.bind(("::1", 0))
    except OSError:
        return False
    return True


def _clock() -> tuple[bool, int, str]:
    """Whether something keeps the clock right, and by how many microseconds; or why a sandbox forbids to ask."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0:
        return False, 0, f"adjtimex: {os.strerror(ctypes.get_errno())}"
    return state != _TIME_ERROR and not timex.status & _STA_UNSYNC, int(timex.maxerror), ""
