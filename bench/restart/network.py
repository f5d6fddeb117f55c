"""A network of the harness's own, and hosts in it, so that ports are free and a host can be lost.

Lives here: namespaces, links, routes. Must not live here: relays (relay), what is measured.
Needs the right to make namespaces (CAP_SYS_ADMIN, CAP_NET_ADMIN) and iproute2.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bench.load.failure import BenchFailure

CLONE_NEWNET: Final = 0x4000_0000
MAC: Final = "02:00:00:00:00:01"


class NoNetwork(BenchFailure):
    """This machine does not let us make networks: the message is what the report says."""


@contextmanager
def own_network() -> Iterator[None]:
    """Sockets opened and processes started by this thread in the block live in a new namespace; it goes with them."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise NoNetwork(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            with _set_up():
                ip("link", "set", "lo", "up")
            yield
        finally:
            if libc.setns(home, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(home)


@contextmanager
def _set_up() -> Iterator[None]:
    """What fails in the block is something that this machine does not let us do; what fails later has failed."""
    try:
        yield
    except BenchFailure as failure:
        raise NoNetwork(str(failure)) from failure


class Host:
    """Another machine, joined to ours by one link: a namespace and a pair of virtual interfaces.

    Its addresses towards us are 10.9.NUMBER.2; we are 10.9.NUMBER.1. A context: the host goes with it.
    """

    def __init__(self, number: int, anycast: str) -> None:
        self._namespace = f"fastrelay-restart-{os.getpid()}-{number}"
        self._link = f"host{number}"
        self._number, self._anycast = number, anycast
        self.address = f"10.9.{number}.2"
        self.within = ("ip", "netns", "exec", self._namespace)
        """Before a command that is to run there."""

    def __enter__(self) -> Host:
        with _set_up(), ExitStack() as undo:
            ip("netns", "add", self._namespace)
            undo.callback(self._delete)
            self._join()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._delete()

    def _delete(self) -> None:
        ip("netns", "delete", self._namespace)

    def _join(self) -> None:
        ours = f"10.9.{self._number}.1"
        # nobody has to be asked for a neighbour on a link of two, and a dead one is not noticed by asking; a device
        # without ARP sends to its own hardware address, so both ends have the same
        ends = ["address", MAC, "type", "veth", "peer", "name", "uplink", "address", MAC, "netns", self._namespace]
        ip("link", "add", self._link, *ends)
        ip("link", "set", "dev", self._link, "arp", "off", "up")
        ip("addr", "add", f"{ours}/30", "dev", self._link)
        there = ["-n", self._namespace]
        ip(*there, "link", "set", "lo", "up")
        ip(*there, "link", "set", "dev", "uplink", "arp", "off", "up")
        ip(*there, "addr", "add", f"{self.address}/30", "dev", "uplink")
        ip(*there, "addr", "add", f"{self._anycast}/32", "dev", "lo")
        ip(*there, "route", "add", "default", "via", ours)

    def attract(self) -> None:
        """Packets to the address that all hosts have come here from now on."""
        ip("route", "replace", f"{self._anycast}/32", "via", self.address, "dev", self._link)

    def lose(self) -> None:
        """The link is dead from one packet to the next, and nobody there can say so."""
        ip("-n", self._namespace, "link", "set", "dev", "uplink", "down")

    def restore(self) -> None:
        """The link is up again; its routes, which went with it, are made again."""
        there = ["-n", self._namespace]
        ip(*there, "link", "set", "dev", "uplink", "up")
        ip(*there, "route", "replace", "default", "via", f"10.9.{self._number}.1")


def have_addresses(network: str) -> None:
    """Every address of this network is ours: thousands of clients from one socket."""
    with _set_up():
        ip("route", "add", "local", network, "dev", "lo")


def ip(*arguments: str) -> None:
    """iproute2; what it says is the failure."""
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoNetwork("iproute2 is not installed") from error
    if done.returncode != 0:
        raise BenchFailure(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
