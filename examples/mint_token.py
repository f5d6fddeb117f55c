"""Mint a route token in your own server: what an SDP answer carries as `a=ice-ufrag` and `a=ice-pwd`.

fastrelay keys new keys.json
FASTRELAY_KEYS_FILE=keys.json python examples/mint_token.py 10.0.0.7:4000
"""

import os
import sys
import time

from fastrelay.routing import KeyRing, mint_token
from fastrelay.wire.address import parse_endpoint

ring = KeyRing.from_environment(os.environ)
if ring is None or len(sys.argv) != 2:
    sys.exit(__doc__)
minted = mint_token(ring, to=parse_endpoint(sys.argv[1]), now_s=time.time())
sys.stdout.write(f"a=ice-ufrag:{minted.ufrag}\r\na=ice-pwd:{minted.password}\r\n")
