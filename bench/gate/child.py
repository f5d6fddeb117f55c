"""The profiled relay: one phase at a time, on command, under callgrind.

Each line of standard input is "LABEL PACKETS": that many packets are queued already. The loop runs until all have
ended in a verdict, with callgrind's counters set to zero before and dumped under the label after. Slices are short
so that hardly an idle turn of the loop is counted among the packets'.
"""

import ctypes
import json
import sys
from pathlib import Path

from bench.load.build import library
from bench.load.relay_child import RelayChild

SLICE_MS = 20


def main() -> None:
    """Serves until standard input ends."""
    marks = ctypes.CDLL(str(library(Path(__file__).with_name("marks.c"))))
    child = RelayChild(json.loads(sys.argv[1]))
    say({"ready": True, **child.ports(), "profiled": bool(marks.fr_is_profiled())})
    marks.fr_profile_begin()
    for line in sys.stdin:
        label, packets = line.split()
        target = child.handled() + int(packets)
        marks.fr_profile_zero()
        while child.handled() < target:
            child.loop.run(SLICE_MS)
        marks.fr_profile_dump(label.encode())
        say({"done": True})


def say(answer: dict[str, object]) -> None:
    """One line of JSON to the harness."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
