"""Endpoints as people write them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import ConfigError
from fastrelay.wire.address import format_endpoint, parse_endpoint, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1:3478", ("192.0.2.1", 3478)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("192.0.2.1:00080", ("192.0.2.1", 80)),
        ("[::]:3478", ("::", 3478)),
        ("[2001:DB8:0:0::1]:3478", ("2001:db8::1", 3478)),
        ("[::ffff:192.0.2.1]:3478", ("192.0.2.1", 3478)),
    ],
)
def test_endpoint_is_read(text: str, expected: tuple[str, int]) -> None:
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1", 4000)),
        ("2001:db8::1", ("2001:db8::1", 4000)),
        ("[2001:db8::1]", ("2001:db8::1", 4000)),
        ("192.0.2.1:1", ("192.0.2.1", 1)),
        ("[2001:db8::1]:1", ("2001:db8::1", 1)),
        pytest.param("2001:db8::1:1", ("2001:db8::1:1", 4000), id="without brackets all of it is the address"),
    ],
)
def test_default_port_stands_in_for_a_missing_one(text: str, expected: tuple[str, int]) -> None:
    assert parse_endpoint(text, default_port=4000) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "not an IP address", id="nothing"),
        pytest.param("192.0.2.1", "no port", id="no port"),
        pytest.param("2001:db8::1", "no port", id="IPv6 without brackets"),
        pytest.param("[2001:db8::1]", "no port", id="IPv6 without a port"),
        pytest.param(":3478", "not an IP address", id="no address"),
        pytest.param("[]:3478", "brackets", id="empty brackets"),
        pytest.param("[192.0.2.1]:3478", "brackets", id="IPv4 in brackets"),
        pytest.param("[2001:db8::1:3478", "does not close", id="open bracket"),
        pytest.param("[2001:db8::1]3478", "after the bracket", id="no colon after the bracket"),
        pytest.param("2001:db8::1]:3478", "not an IP address", id="closing bracket alone"),
        pytest.param("relay.example:3478", "not looked up", id="a name"),
        pytest.param("192.0.2.256:3478", "not an IP address", id="octet too large"),
        pytest.param("192.0.2.01:3478", "not an IP address", id="octal octet"),
        pytest.param("192.0.2:3478", "not an IP address", id="three octets"),
        pytest.param("[fe80::1%eth0]:3478", "zone", id="zone"),
        pytest.param("192.0.2.1:", "not a number", id="empty port"),
        pytest.param("192.0.2.1:65536", "not a number", id="port too large"),
        pytest.param("192.0.2.1:100000", "not a number", id="port too long"),
        pytest.param("192.0.2.1:-1", "not a number", id="negative port"),
        pytest.param("192.0.2.1:+1", "not a number", id="signed port"),
        pytest.param("192.0.2.1: 1", "not a number", id="space before the port"),
        pytest.param("192.0.2.1:1_0", "not a number", id="underscore in the port"),
        pytest.param("192.0.2.1:\u0661", "not a number", id="another script's digit"),
        pytest.param("192.0.2.1:http", "not a number", id="service name"),
    ],
)
def test_what_is_not_an_endpoint_names_the_key_and_the_text(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse_endpoint(text, key="relay.listen")
    assert caught.value.key == "relay.listen"
    assert repr(text) in caught.value.problem


ADDRESSES = st.ip_addresses().map(lambda ip: getattr(ip, "ipv4_mapped", None) or ip).map(str)


@given(ip=ADDRESSES, port=st.integers(0, 65535))
def test_what_is_written_is_read_back(ip: str, port: int) -> None:
    assert parse_endpoint(format_endpoint(ip, port)) == (ip, port)


@given(text=st.text(max_size=60))
def test_any_text_is_an_endpoint_or_a_config_error(text: str) -> None:
    try:
        ip, port = parse_endpoint(text, default_port=1)
    except ConfigError:
        return
    assert str(ipaddress.ip_address(ip)) == ip
    assert 0 <= port <= 65535


@pytest.mark.parametrize(
    ("ip", "shown"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("255.255.255.255", "255.255.255.0/24"),
        ("2001:db8:1234:5678::9", "2001:db8:1234::/48"),
        ("::1", "::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
    ],
)
def test_redaction_keeps_the_network_and_hides_the_host(ip: str, shown: str) -> None:
    assert redact(ip) == shown
