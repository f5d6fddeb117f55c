"""Agents that end-to-end tests load into a transceiver by name.

Lives here: those. Must not live here: tests.
"""

from __future__ import annotations

import json

from fastrelay.agent import Call


async def informant(call: Call) -> None:
    """Tell over `events` what it knows of its call; hang up when told goodbye."""
    async for message in call.messages("events"):
        if message == "goodbye":
            call.hang_up("as the test wants")
        else:
            await call.send("events", json.dumps(dict(call.metadata)))
