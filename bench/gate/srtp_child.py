"""The profiled SRTP: `open` or `seal`, calls in a batch and bytes of payload are the arguments.

Each line of standard input is "LABEL PACKETS": that many packets, in whole batches, are worked on with callgrind's
counters set to zero before and dumped under the label after. What the other direction does is not collected.
"""

import ctypes
import itertools
import sys
from pathlib import Path

from bench.gate.child import say
from bench.load.build import library
from fastrelay.transceiver import srtp
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile

PROFILE = SrtpProfile.AEAD_AES_128_GCM  # what both sides prefer
OPUS = 111


def main() -> None:
    """Serves until standard input ends."""
    way, calls, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    marks = ctypes.CDLL(str(library(Path(__file__).with_name("marks.c"))))
    key = bytes(range(PROFILE.key_length + PROFILE.salt_length))
    keys = SrtpKeys(PROFILE, local=key, remote=key)
    outbound = [srtp.SrtpOutbound(keys, ssrc=at, payload_type=OPUS, first_sequence=0) for at in range(calls)]
    inbound = [srtp.SrtpInbound(keys, payload_types=frozenset({OPUS})) for _ in range(calls)]
    timestamps = itertools.count(0, 960)
    say({"ready": True, "profiled": bool(marks.fr_is_profiled()) and srtp.ACTIVE == "batch"})
    marks.fr_profile_begin()
    for line in sys.stdin:
        label, packets = line.split()
        marks.fr_profile_zero()
        for timestamp in itertools.islice(timestamps, int(packets) // calls):
            sealed = srtp.seal_rtp([(stream, bytes(size), timestamp, False) for stream in outbound])
            if way == "open":
                srtp.open_rtp(list(zip(inbound, sealed, strict=True)), timestamp * 1000 // 48)
        marks.fr_profile_dump(label.encode())
        say({"done": True})


if __name__ == "__main__":
    main()
