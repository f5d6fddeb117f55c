"""What happens on a call besides audio.

Lives here: the values. Must not live here: who makes them (the session), who waits for them (call).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """A data channel can be written to from now on."""

    channel: str


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """A data channel is gone."""

    channel: str


@dataclass(frozen=True, slots=True)
class AddressChanged:
    """The client goes on from another network address: somebody has walked out of the house."""


@dataclass(frozen=True, slots=True)
class Message:
    """What the client wrote on a data channel. Agents get it from `call.messages(channel)`."""

    channel: str
    content: str | bytes


CallEvent: TypeAlias = ChannelOpened | ChannelClosed | AddressChanged | Message
