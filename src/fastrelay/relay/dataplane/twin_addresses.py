"""Which addresses the data plane will speak to, and the one form in which it compares them.

Lives here: the allow-list, and the rules for a usable client or transceiver address.
Must not live here: parsing of packets, sockets, tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from fastrelay.wire.trunk import Client

Network = IPv4Network | IPv6Network
Endpoint = tuple[str, int]
"""IP address as text and UDP port."""


def canonical_ip(ip: str) -> str:
    """The shortest form; IPv4 also where a dual-stack socket reports it v4-mapped."""
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def canonical_client(ip: str, port: int, scope: int) -> Client:
    """A client as the flow table knows it: a scope counts for link-local IPv6 only."""
    text = canonical_ip(ip)
    address = ip_address(text)
    keeps_scope = isinstance(address, IPv6Address) and address.is_link_local
    return Client(text, port, scope if keeps_scope else 0)


def canonical_endpoint(endpoint: Endpoint) -> Endpoint:
    return canonical_ip(endpoint[0]), endpoint[1]


def is_ipv4(ip: str) -> bool:
    return ip_address(ip).version == 4


def is_sendable(endpoint: Endpoint) -> bool:
    """Whether one host could be reached there: a port, and not unspecified, multicast, reserved or broadcast."""
    address = ip_address(endpoint[0])
    if endpoint[1] == 0 or address.is_unspecified or address.is_multicast:
        return False
    return isinstance(address, IPv6Address) or not address.is_reserved  # 240.0.0.0/4 holds broadcast too


def is_allowed(ip: str, allowed: Iterable[Network]) -> bool:
    address = ip_address(ip)
    return any(address in network for network in allowed)
