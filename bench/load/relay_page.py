"""The relay's counter page as the harness reads it: ext/counters.h, word by word, from outside the process."""

import mmap
import re
import struct
from collections.abc import Sequence
from pathlib import Path

from bench.load.build import EXT
from fastrelay._ext.relay_core import counter_page_bytes
from fastrelay.relay.dataplane.verdict import Verdict

# struct fr_counters: eight words of head, then the tables; what follows them is not read here
HEAD, ROOM, BUCKETS = 8, 64, 320
READ = struct.Struct(f"={HEAD + 3 * ROOM + 2 * BUCKETS}Q")
PACKETS = HEAD
EVENTS = HEAD + 2 * ROOM
HOP_UP = HEAD + 3 * ROOM

UP_FORWARDED = tuple(verdict for verdict in Verdict if verdict.name.startswith("UP_"))
UP_ALL = tuple(verdict for verdict in Verdict if not verdict.name.startswith(("DOWN_", "TRUNK_")))
DOWN_FORWARDED = (Verdict.DOWN_FORWARDED, Verdict.DOWN_CONFIRMED, Verdict.DOWN_RECREATED)
DOWN_ALL = tuple(verdict for verdict in Verdict if verdict.name.startswith("DOWN_"))
# trunk datagrams that are neither a bundle nor a HELLO took their frames with them
TRUNK_REFUSED = tuple(
    verdict
    for verdict in Verdict
    if verdict.name.startswith("TRUNK_") and verdict not in {Verdict.TRUNK_BUNDLE, Verdict.TRUNK_HELLO}
)
# packets the kernel would not take; those it could not keep are counted at the socket
LOST_EVENTS = ("refused_up", "refused_down", "no_buffer_up", "no_buffer_down")


def event_names() -> list[str]:
    """The events in the order of the page, as ext/counters.h lists them."""
    return re.findall(r"\bE\((\w+), ", (EXT / "counters.h").read_text())


class RelayPage:
    """A relay's counters, live."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        size = -counter_page_bytes() % mmap.PAGESIZE + counter_page_bytes()
        with path.open("w+b") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        self._events = {name: index for index, name in enumerate(event_names())}

    def words(self) -> tuple[int, ...]:
        """Every number of the page that is read here, in order."""
        return READ.unpack_from(self._memory)

    def packets(self, verdicts: Sequence[Verdict]) -> int:
        """Packets that ended in one of these verdicts."""
        words = self.words()
        return sum(words[PACKETS + verdict] for verdict in verdicts)

    def event(self, name: str) -> int:
        """How often this happened."""
        return self.words()[EVENTS + self._events[name]]

    def lost(self) -> int:
        """Everything the relay refused, or was refused when it sent."""
        refused = [verdict for verdict in (*UP_ALL, *DOWN_ALL) if verdict not in (*UP_FORWARDED, *DOWN_FORWARDED)]
        return self.packets([*refused, *TRUNK_REFUSED]) + sum(self.event(name) for name in LOST_EVENTS)

    def hop_up_ns(self) -> tuple[int, ...]:
        """The histogram of hop latency on the way up."""
        return self.words()[HOP_UP : HOP_UP + BUCKETS]

    def close(self) -> None:
        """Unmaps and removes the page."""
        self._memory.close()
        self.path.unlink(missing_ok=True)


def bucket_top_ns(bucket: int) -> int:
    """The largest value that falls into a bucket of fr_histogram_bucket."""
    if bucket < 8:
        return bucket
    octave, part = bucket // 8 + 2, bucket % 8
    return ((9 + part) << (octave - 3)) - 1
