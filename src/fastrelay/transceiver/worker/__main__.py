"""`python -m fastrelay.transceiver.worker CHANNEL_FD`

Lives here: the descriptor, and signals. Must not live here: what the process does (opening, process).
For the supervisor only: the descriptor is inherited, and everything else comes over it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

# before numpy is imported anywhere: it would start a thread, with a stack, for each CPU
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fastrelay.io.channel import Channel
from fastrelay.transceiver.worker.opening import work

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""A terminal and a service manager signal the whole group; the supervisor alone decides what that means."""


def main() -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    with Channel.of_descriptor(descriptor) as channel:
        code = work(channel)
    logging.shutdown()
    sys.stderr.flush()
    # not by returning: the interpreter would wait for every thread that an agent has left behind
    os._exit(code)


if __name__ == "__main__":
    main()
