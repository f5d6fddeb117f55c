"""Checks of the network stack between the card and the relay's sockets.

Must not live here: the card itself (cards).
"""

from __future__ import annotations

from fastrelay.doctor.finding import Finding, ok, problem, warning
from fastrelay.doctor.host import Host, Wanted, format_bytes, parse_cpus, parse_number

CORE = "/proc/sys/net/core"
IPV4 = "/proc/sys/net/ipv4"
CONNTRACK = "/proc/sys/net/netfilter"
BACKLOG_MIN, BACKLOG_ADVISED = 4096, 16_384
"""Packets: at the rate of one busy core, some milliseconds; and the same with room for another core's pause."""
BUFFER_BYTES_MIN = 1 << 20
"""Below it a pause of a few milliseconds, as any scheduler makes, loses packets at a few hundred calls."""


def receive_buffer(host: Host, wanted: Wanted) -> list[Finding]:
    """As granted to a real socket: root gets it whatever the sysctl says."""
    return [
        _buffer(
            "receive",
            host.probes.receive_buffer_bytes,
            wanted.buffer_bytes,
            "net.core.rmem_max",
            "what arrives while a worker is kept from its CPU is lost when the buffer is full",
        )
    ]


def send_buffer(host: Host, wanted: Wanted) -> list[Finding]:
    """The same for what waits for the card."""
    return [
        _buffer(
            "send",
            host.probes.send_buffer_bytes,
            wanted.buffer_bytes,
            "net.core.wmem_max",
            "a burst that the card has not taken yet is refused when the buffer is full",
        )
    ]


def _buffer(way: str, granted: int, wanted: int, sysctl: str, why: str) -> Finding:
    found = f"{way} buffer of {format_bytes(granted)}, wanted {format_bytes(wanted)}"
    if granted >= wanted:
        return ok(found, why)
    judge = problem if granted < BUFFER_BYTES_MIN and way == "receive" else warning
    return judge(found, why, f"sysctl -w {sysctl}={wanted}")


def backlog(host: Host, wanted: Wanted) -> list[Finding]:
    """The queue in front of the stack: its length, and whether it has ever been too short."""
    length = host.number(f"{CORE}/netdev_max_backlog")
    # the second column of each CPU's line, in hexadecimal: dropped because the queue was full
    dropped = sum(int(line.split()[1], 16) for line in host.text("/proc/net/softnet_stat").splitlines())
    found = f"backlog of {length} packets a CPU, {dropped} dropped there since boot"
    why = "packets that cross CPUs or tunnels wait there, and are lost unseen when it is full"
    if dropped or length < BACKLOG_MIN:
        return [warning(found, why, f"sysctl -w net.core.netdev_max_backlog={max(BACKLOG_ADVISED, 2 * length)}")]
    return [ok(found, why)]


def conntrack(host: Host, wanted: Wanted) -> list[Finding]:
    """Connection tracking remembers each client again, and forgets all of them at once when its table is full."""
    why = "it looks up and remembers each client a second time, and drops new ones when its table is full"
    if not host.has(f"{CONNTRACK}/nf_conntrack_count"):
        return [ok("connection tracking is not loaded", why)]
    tracked, most = host.number(f"{CONNTRACK}/nf_conntrack_count"), host.number(f"{CONNTRACK}/nf_conntrack_max")
    if not tracked:
        return [ok("connection tracking is loaded and tracks nothing", why)]
    found = f"connection tracking holds {tracked} of {most} entries"
    ports = "{ " + ", ".join(str(port) for port in (*wanted.client_ports, *wanted.trunk_ports)) + " }"
    fix = (
        "nft 'add table inet fastrelay; "
        "add chain inet fastrelay in { type filter hook prerouting priority raw; }; "
        "add chain inet fastrelay out { type filter hook output priority raw; }; "
        f"add rule inet fastrelay in udp dport {ports} notrack; "
        f"add rule inet fastrelay out udp sport {ports} notrack'"
    )
    return [problem(found, why, fix) if tracked > most * 0.9 else warning(found, why, fix)]


def ports(host: Host, wanted: Wanted) -> list[Finding]:
    """Ports of the configuration that the kernel may give to somebody else before the relay starts."""
    fixed = sorted({port for _, port in wanted.listen if port} | set(wanted.trunk_ports))
    why = "a port of that range may be taken by any outgoing connection before the relay starts"
    if not fixed:
        return []
    name = f"{IPV4}/ip_local_port_range"
    first, last = (parse_number(part, name) for part in host.text(name).split())
    reserved = parse_cpus(host.text(f"{IPV4}/ip_local_reserved_ports"))  # written like a list of CPUs
    exposed = [port for port in fixed if first <= port <= last and port not in reserved]
    if exposed:
        keep = ",".join(str(port) for port in sorted({*exposed, *reserved}))
        return [
            warning(
                f"ports {', '.join(map(str, exposed))} lie in the ephemeral range {first}-{last}",
                why,
                f"sysctl -w net.ipv4.ip_local_reserved_ports={keep}",
            )
        ]
    return [ok(f"ports {', '.join(map(str, fixed))} are not given to outgoing connections", why)]


def steering(host: Host, wanted: Wanted) -> list[Finding]:
    """Whether the kernel lets a relay choose the worker of a packet."""
    why = "steering keeps a packet on the CPU that received it, and lets a worker retire without loss"
    if host.probes.steering_trouble:
        found = f"the kernel does not steer packets to workers: {host.probes.steering_trouble}"
        return [warning(found, why, "fastrelay relay --steering kernel")]
    return [ok("the kernel steers packets to workers (SO_ATTACH_REUSEPORT_CBPF)", why)]
