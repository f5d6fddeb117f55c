# cython: language_level=3
"""What this host offers: its addresses, and offloads that work.

Lives here: questions asked once, at start. Must not live here: anything that is asked per packet.
"""

import socket

from libc.string cimport memcpy

from core cimport *
from system cimport *


def host_addresses():
    """The host's unicast addresses as (ip, scope) pairs, at most as many as a relay can answer from."""
    cdef fr_address[FR_LOCALS] addresses
    cdef int count = fr_host_addresses(addresses, FR_LOCALS)
    cdef char[16] packed
    if count < 0:
        raise OSError(-count, "cannot list the host's addresses")
    found = []
    for at in range(count):
        memcpy(packed, &addresses[at].high, 8)
        memcpy(packed + 8, &addresses[at].low, 8)
        if fr_address_is_v4(&addresses[at]):
            found.append((socket.inet_ntop(socket.AF_INET, packed[12:16]), 0))
        else:
            found.append((socket.inet_ntop(socket.AF_INET6, packed[:16]), addresses[at].scope))
    return found


def offload_works(is_ipv6):
    """Whether UDP_SEGMENT and UDP_GRO deliver what was sent, tried over loopback; False when it cannot be tried."""
    return fr_offload_works(AF_INET6 if is_ipv6 else AF_INET) == 1
