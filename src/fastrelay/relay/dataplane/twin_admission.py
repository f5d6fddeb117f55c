"""Whether a connectivity check may make or move a flow.

Lives here: the token's and the check's own tests, in their order; the cheap ones stand before the budgets, the
cryptography behind them.
Must not live here: the tables, whose limits come after (twin.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from fastrelay.errors import TokenError
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.twin_addresses import Network, is_allowed, is_sendable
from fastrelay.relay.dataplane.twin_budgets import Budget, SourceBudgets
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import RouteToken, check_claims, find_key, ice_password, open_sealed
from fastrelay.wire.stun import Check, integrity_matches


class Admission:
    """The tests of one worker, with its budgets."""

    def __init__(self, ring: KeyRing, allowed: Sequence[Network], cluster: int, limits: Limits) -> None:
        self._ring = ring
        self._allowed = allowed
        self._cluster = cluster
        self._limits = limits
        self._sources = SourceBudgets(limits.source_admissions_per_s, limits.source_admissions_burst)
        self._worker = Budget(limits.admissions_per_s, limits.admissions_burst)

    def open(self, packet: bytes, check: Check, source_ip: str, now_ms: int, unix_s: int) -> RouteToken | Verdict:
        """The check's token, opened, or the reason to drop the packet."""
        text = check.token.decode("latin-1")
        try:
            key = find_key(text, self._ring, now_s=unix_s)
            # A refused source must not use up the worker's budget, so its own comes first.
            if not self._sources.take(source_ip, now_ms):
                return Verdict.SOURCE_BUDGET
            if not self._worker.take(now_ms):
                return Verdict.ADMISSION_BUDGET
            token = open_sealed(text, key)
            check_claims(
                token,
                now_s=unix_s,
                cluster=self._cluster,
                lifetime_s=self._limits.token_lifetime_s,
                clock_skew_s=self._limits.clock_skew_s,
            )
        except TokenError as error:
            return Verdict[f"TOKEN_{error.reason.name}"]
        if not (is_sendable(token.transceiver) and is_allowed(token.transceiver[0], self._allowed)):
            return Verdict.TOKEN_NOT_ALLOWED
        if not integrity_matches(packet, check, ice_password(text, key)):
            return Verdict.STUN_BAD_INTEGRITY
        return token
