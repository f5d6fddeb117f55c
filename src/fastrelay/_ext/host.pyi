"""What this host offers: its addresses, and offloads that work."""

def host_addresses() -> list[tuple[str, int]]:
    """The host's unicast addresses as (ip, scope) pairs, at most as many as a relay can answer from."""

def offload_works(is_ipv6: bool) -> bool:
    """Whether UDP_SEGMENT and UDP_GRO deliver what was sent, tried over loopback; False when it cannot be tried."""
