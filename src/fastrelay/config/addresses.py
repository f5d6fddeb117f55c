"""Addresses and networks as values of settings.

Lives here: their kinds, and what a network may look like. Must not live here: the text form of an address
(wire.address), who may be reached by one.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias

from fastrelay.config.kinds import Text
from fastrelay.errors import ConfigError
from fastrelay.wire.address import format_endpoint, parse_endpoint

Endpoint: TypeAlias = tuple[str, int]
Network: TypeAlias = IPv4Network | IPv6Network


def parse_network(text: str, *, key: str = "--allow") -> Network:
    """Read a CIDR network, or one address. Host bits must be zero: a slip there would allow what nobody meant."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ConfigError(key, f"{error} (write 10.0.0.0/8 or 2001:db8::/32)") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ConfigError(key, f"{text!r} is an IPv4 network in IPv6 form; write it as IPv4")
    return network


def _machine_endpoint(text: str) -> Endpoint:
    return parse_endpoint(text, default_port=0)


def _endpoint_text(endpoint: Endpoint) -> str:
    return format_endpoint(*endpoint)


ADDRESS: Text[Endpoint] = Text(
    parse_endpoint, "an address with a port, as 192.0.2.1:3478 or [2001:db8::1]:3478", _endpoint_text
)
MACHINE_ADDRESS: Text[Endpoint] = Text(_machine_endpoint, "an address, as 10.0.0.5 or 10.0.0.5:4000", _endpoint_text)
"""The port may be left to the kernel."""
NETWORK: Text[Network] = Text(parse_network, "a network, as 10.0.0.0/8", str)
