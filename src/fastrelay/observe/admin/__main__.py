"""`python -m fastrelay.observe.admin CHANNEL_FD [--tcp FD] [--unix FD] [--log-form console|json]`

Lives here: arguments, descriptors, signals. Must not live here: what the process does (process).
For the supervisor only: the descriptors are inherited, and its sockets are bound and listen already.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket

# before numpy is imported anywhere: it would start a thread, with a stack, for each CPU
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fastrelay.io.channel import Channel
from fastrelay.observe.admin.process import observe
from fastrelay.observe.logs import FORMS, configure

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""A terminal and a service manager signal the whole group; the supervisor alone decides what that means."""


def main() -> None:
    arguments = _arguments()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    configure(arguments.log_form)
    sockets = [socket.socket(fileno=number) for number in (arguments.unix, arguments.tcp) if number is not None]
    with Channel.of_descriptor(arguments.channel) as channel:
        for descriptor in (channel.fileno(), *(each.fileno() for each in sockets)):
            os.set_inheritable(descriptor, False)
        asyncio.run(observe(channel, sockets))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fastrelay.observe.admin", description=__doc__)
    parser.add_argument("channel", type=int, metavar="CHANNEL_FD")
    parser.add_argument("--tcp", type=int, metavar="FD")
    parser.add_argument("--unix", type=int, metavar="FD")
    parser.add_argument("--log-form", choices=FORMS, default="console")
    return parser.parse_args()


if __name__ == "__main__":
    main()
