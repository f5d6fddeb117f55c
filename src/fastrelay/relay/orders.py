"""Giving an order to workers, and hearing that it was taken.

Lives here: one order to several at once, and what becomes of those that do not take it. Must not live here: the orders
themselves (worker), when they are given (crew).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from fastrelay.observe.logs import facts
from fastrelay.relay.member import Member
from fastrelay.relay.process import ANSWER_PATIENCE_S
from fastrelay.relay.worker import TAKEN

LOG = logging.getLogger(__name__)


def give(order: str, members: Iterable[Member], descriptors: Sequence[int] = (), **values: Any) -> None:
    """Tell every worker that runs; all of them at once, because each hears it at the end of its slice only.

    One that does not answer is stuck, and its process is to be replaced; the successor is made with what holds then.
    """
    told = [(member, member.process) for member in members if member.process is not None]
    for _, process in told:
        process.tell(order, descriptors, **values)
    for member, process in told:
        if process.answer(ANSWER_PATIENCE_S) != TAKEN:
            LOG.error("worker did not take an order", extra=facts(worker=member.index, order=order))
            member.is_due = True
