"""Agents: the AI side of a call, in Python.

    async def greet(call: Call) -> None:
        async for frame in call.audio():
            await call.play(frame)

docs/agents.md tells all of it. Must not live here: anything of WebRTC, which an agent never hears of.
"""

from fastrelay.agent.call import Call, CallEnded
from fastrelay.agent.events import AddressChanged, CallEvent, ChannelClosed, ChannelOpened, Message
from fastrelay.agent.hosting import AgentHost
from fastrelay.agent.loading import LoadedAgent, inline, load_agent
from fastrelay.agent.seat import Outlet, Seat

__all__ = [
    "AddressChanged",
    "AgentHost",
    "Call",
    "CallEnded",
    "CallEvent",
    "ChannelClosed",
    "ChannelOpened",
    "LoadedAgent",
    "Message",
    "Outlet",
    "Seat",
    "inline",
    "load_agent",
]
