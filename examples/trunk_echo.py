"""A transceiver's end of the trunk: everything a client sends through the relay goes back to that client.

FASTRELAY_KEYS_FILE=keys.json python examples/trunk_echo.py 10.0.0.7:4000 10.0.0.0/8
"""

import os
import selectors
import sys
from ipaddress import ip_network

from fastrelay.routing import KeyRing
from fastrelay.transceiver import open_trunk_port
from fastrelay.wire.address import format_endpoint, parse_endpoint

ring = KeyRing.from_environment(os.environ)
if ring is None or len(sys.argv) != 3:
    sys.exit(__doc__)
relays_live_in = [ip_network(sys.argv[2])]
with (
    open_trunk_port(parse_endpoint(sys.argv[1]), ring, relays_live_in) as port,
    selectors.DefaultSelector() as selector,
):
    selector.register(port, selectors.EVENT_READ)
    sys.stdout.write(f"ready {format_endpoint(*port.address)}\n")
    sys.stdout.flush()
    while True:
        selector.select(timeout=0.1)
        frames = port.receive()  # (path, payload) pairs; a path is the client, and how it is reached
        port.send(frames)
        port.tick()  # lets relays see that we are alive
