"""Who talks in a measurement: a few thousand clients, each with its transceiver, all of them on loopback.

Lives here: addresses, and which client belongs to which transceiver. Must not live here: packets and sockets (traffic).
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

KEY_ID: Final = 1
NETWORK: Final = ip_network("127.0.0.0/8")
FLOWS: Final = 4096
"""Enough that neither the flow table nor the sockets' destinations stay in the nearest cache."""
TRANSCEIVERS: Final = 8
"""Bundles go to each; with one alone they would be fuller and the relay cheaper than it is in service."""

_FIRST_CLIENT: Final = int(ip_address("127.16.0.1"))
_FIRST_TRANSCEIVER: Final = int(ip_address("127.2.0.1"))


def client_ip(flow: int) -> str:
    """Each client has an address of its own; they share a port."""
    return str(ip_address(_FIRST_CLIENT + flow))


def transceiver_ip(at: int) -> str:
    """Each transceiver as well."""
    return str(ip_address(_FIRST_TRANSCEIVER + at))


def transceiver_of(flow: int) -> int:
    """Where this client's packets go, by the transceiver's index."""
    return flow % TRANSCEIVERS
