"""Addresses as people write them: `192.0.2.1:3478`, `[2001:db8::1]:3478`.

Lives here: the one text form of an endpoint, in and out, and the form that logs may show.
Must not live here: name resolution, sockets, allow-lists.
"""

import ipaddress

from fastrelay.errors import ConfigError

PORT_MAX = 65535


def parse_endpoint(text: str, default_port: int | None = None, *, key: str = "address") -> tuple[str, int]:
    """Read `ADDRESS:PORT`, or `ADDRESS` alone where there is a default port.

    IPv6 goes in brackets when a port follows. The address comes back in its canonical form, a v4-mapped one as IPv4.
    Port 0 is accepted: a socket may be bound to it. Names are refused, because nothing here resolves them.

    >>> parse_endpoint("192.0.2.1:3478")
    ('192.0.2.1', 3478)
    >>> parse_endpoint("2001:DB8::1", default_port=3478)
    ('2001:db8::1', 3478)

    Raises ConfigError naming `key`.
    """
    host, port_text = _split(text, key)
    return _canonical_ip(host, text, key), _port(port_text, default_port, text, key)


def format_endpoint(ip: str, port: int) -> str:
    """Write an endpoint so that parse_endpoint reads it back.

    >>> format_endpoint("2001:db8::1", 3478)
    '[2001:db8::1]:3478'
    """
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def redact(ip: str) -> str:
    """Name the network of a client instead of the client: an IPv4 /24, an IPv6 /48. For logs.

    >>> redact("192.0.2.77")
    '192.0.2.0/24'
    """
    address = _unmapped(ipaddress.ip_address(ip))
    prefix_length = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{prefix_length}", strict=False))


def _split(text: str, key: str) -> tuple[str, str | None]:
    """Separate the host from the port; the port is None where the text has none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise ConfigError(key, f"{text!r} opens a bracket and does not close it")
        if ":" not in host:
            raise ConfigError(key, f"{text!r} has brackets around something that is not an IPv6 address")
        if not rest:
            return host, None
        if not rest.startswith(":"):
            raise ConfigError(key, f"{text!r} has something other than a port after the bracket")
        return host, rest[1:]
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None


def _canonical_ip(host: str, text: str, key: str) -> str:
    if "%" in host:
        raise ConfigError(key, f"{text!r} has a zone, which means nothing on another machine")
    try:
        return str(_unmapped(ipaddress.ip_address(host)))
    except ValueError:
        raise ConfigError(key, f"{text!r} is not an IP address with a port (names are not looked up)") from None


def _unmapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """One address has one form everywhere: IPv4 is never written v4-mapped."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _port(port_text: str | None, default_port: int | None, text: str, key: str) -> int:
    if port_text is None:
        if default_port is None:
            raise ConfigError(key, f"{text!r} has no port (write 192.0.2.1:3478 or [2001:db8::1]:3478)")
        return default_port
    # int() alone would take signs, spaces, underscores and other scripts' digits
    if not (port_text.isascii() and port_text.isdigit()) or len(port_text) > len(str(PORT_MAX)):
        raise ConfigError(key, f"{text!r} has a port that is not a number from 0 to {PORT_MAX}")
    port = int(port_text)
    if port > PORT_MAX:
        raise ConfigError(key, f"{text!r} has a port that is not a number from 0 to {PORT_MAX}")
    return port
