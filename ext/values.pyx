# cython: language_level=3
"""Python values into C ones and back: addresses, key rings, networks. Checked here, so that the C side need not.

Must not live here: files, text with ports (fastrelay.wire.address), defaults.
"""

import socket

from libc.errno cimport EEXIST
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t
from libc.string cimport memcpy, memset, strerror

from core cimport *


cdef int parse_address(fr_address *address, str ip, int port, uint32_t scope) except -1:
    """IPv4 text becomes the v4-mapped form, as everywhere in the data plane."""
    cdef bytes packed
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port} is out of range")
    memset(address, 0, sizeof(fr_address))
    if ":" in ip:
        packed = socket.inet_pton(socket.AF_INET6, ip)
    else:
        packed = b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, ip)
    memcpy(&address.high, <const char *>packed, 8)
    memcpy(&address.low, <const char *>packed + 8, 8)
    address.scope = scope
    address.port_be = socket.htons(port)
    return 0


cdef tuple show_address(const fr_address *address):
    """(ip, port, scope)"""
    cdef bytes packed = (<const char *>&address.high)[:8] + (<const char *>&address.low)[:8]
    if fr_address_is_v4(address):
        return socket.inet_ntop(socket.AF_INET, packed[12:]), socket.ntohs(address.port_be), 0
    return socket.inet_ntop(socket.AF_INET6, packed), socket.ntohs(address.port_be), address.scope


cdef int fill_keyring(fr_keyring *keyring, object keys) except -1:
    """Replaces the ring by (id, secret, mint_from_s, open_until_s or None) entries; untouched when one is wrong."""
    cdef fr_keyring ring
    cdef bytes secret
    cdef int failed
    memset(&ring, 0, sizeof(fr_keyring))
    try:
        for key_id, secret, mint_from_s, open_until_s in keys:
            if len(secret) != 32:
                raise ValueError(f"key {key_id}: the secret has {len(secret)} bytes, not 32")
            failed = fr_keyring_add(&ring, key_id, <const uint8_t *><const char *>secret, mint_from_s,
                                    UINT64_MAX if open_until_s is None else open_until_s)
            if failed:
                reason = "is there twice" if failed == -EEXIST else strerror(-failed).decode()
                raise ValueError(f"key {key_id}: {reason}")
        keyring[0] = ring
    finally:
        fr_keyring_wipe(&ring)
    return 0


cdef int fill_allowed(fr_allowed *allowed, object networks) except -1:
    """Replaces the list by ipaddress networks."""
    cdef fr_network network
    cdef bytes prefix, mask
    if len(networks) > FR_ALLOWED:
        raise ValueError(f"{len(networks)} allowed networks, at most {FR_ALLOWED}")
    for at, wanted in enumerate(networks):
        prefix, mask = wanted.network_address.packed, wanted.netmask.packed
        if wanted.version == 4:
            prefix, mask = b"\0" * 10 + b"\xff\xff" + prefix, b"\xff" * 12 + mask
        memcpy(&network.high, <const char *>prefix, 8)
        memcpy(&network.low, <const char *>prefix + 8, 8)
        memcpy(&network.high_mask, <const char *>mask, 8)
        memcpy(&network.low_mask, <const char *>mask + 8, 8)
        allowed.networks[at] = network
    allowed.count = len(networks)
    return 0
