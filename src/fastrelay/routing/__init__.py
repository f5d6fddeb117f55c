"""Where a client's packets go: key rings and route tokens.

The door for servers that mint tokens themselves (docs/route-token.md is the specification):

    from fastrelay.routing import KeyRing, mint_token

    ring = KeyRing.load("keys.json")
    minted = mint_token(ring, to=("10.0.0.7", 4000), now_s=int(time.time()))
    answer.ice_ufrag, answer.ice_pwd = minted.ufrag, minted.password
"""

from fastrelay.errors import ConfigError, FastrelayError, TokenError, TokenRefusal
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import MintedToken, RouteToken, ice_password, mint_token, open_token

__all__ = [
    "ConfigError",
    "FastrelayError",
    "Key",
    "KeyRing",
    "MintedToken",
    "RouteToken",
    "TokenError",
    "TokenRefusal",
    "ice_password",
    "mint_token",
    "open_token",
]
