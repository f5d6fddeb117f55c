"""The desk of a worker: makes calls from offers, finds them, changes them, ends them, and knows how many there may be.

Lives here: what signalling asks for (http.desk.CallDesk), and every bound of a whole worker. Must not live here: HTTP,
datagrams (exchange), one call's life (call), what stands in an answer (transceiver.negotiation).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastrelay.agent.hosting import AgentHost
from fastrelay.http.desk import CallRefused, CallRequest, OpenedCall, Refusal, RestartedIce
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import SESSION_ID_LENGTH, MintedToken, mint_token
from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.dtls import DtlsContexts, DtlsEndpoint, DtlsRole
from fastrelay.transceiver.ice import IceLite
from fastrelay.transceiver.negotiation import Answering, build_answer, build_fragment, choose_role, read_fragment
from fastrelay.transceiver.offer import Offer, read_offer
from fastrelay.transceiver.session.limits import SessionLimits
from fastrelay.transceiver.session.session import Session, Stream
from fastrelay.transceiver.session.states import EndReason
from fastrelay.transceiver.worker.call import Call, CallNames
from fastrelay.transceiver.worker.exchange import Exchange
from fastrelay.transceiver.worker.plan import SOCKETS, WorkerPlan
from fastrelay.transceiver.worker.tallies import Histogram, OfferBudget
from fastrelay.wire.sdp import SdpError

CALL_ID_PREFIX: Final = "rtc_"
SSRC_MAX: Final = 0xFFFF_FFFF
RETRY_WHEN_FULL_S: Final = 5
RETRY_WHEN_DRAINING_S: Final = 1
LISTED_MAX: Final = 1000
"""Calls told of in one answer of the API."""
AHEAD_MAX_S: Final = 10
"""How far a token's mint time may be ahead of the clock; relays allow a minute, of which clocks need most."""
SETUP_BUCKETS_MS: Final = (5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000)


class Desk:
    """All calls of one worker."""

    def __init__(
        self, plan: WorkerPlan, ring: KeyRing, exchange: Exchange, host: AgentHost, *, trunk: tuple[str, int]
    ) -> None:
        self.plan = plan
        self._trunk = trunk
        self._ring = ring
        self._exchange = exchange
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._certificate = Certificate.generate(time.time())
        self._contexts = DtlsContexts(self._certificate)
        self._calls: dict[str, Call] = {}
        self._budget = OfferBudget(plan.offers_per_s, plan.offers_burst, self._loop.time())
        self._is_draining = False
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._ended: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._opened = 0
        self._setup_ms = Histogram(SETUP_BUCKETS_MS)
        self._sampler: asyncio.Task[None] | None = None

    # --- what signalling asks for (http.desk.CallDesk)

    async def open_call(self, request: CallRequest) -> OpenedCall:
        """Make a call of an offer, and answer it. It waits for its client's first check from now on."""
        try:
            self._allow_another()
            offer = _read(request.offer)
        except CallRefused as error:
            self._refused[error.refusal.value] += 1
            raise
        now_s = self._loop.time()
        session_id = bytes([self.plan.slot]) + secrets.token_bytes(SESSION_ID_LENGTH - 1)
        call_id = call_id_of(session_id)
        minted = self._mint(session_id)
        stream = Stream(
            ssrc=1 + secrets.randbelow(SSRC_MAX),
            cname=call_id,
            payload_type=offer.audio.payload_type,
            # half of the range: the receiver's roll-over counter must not start with a wrap (RFC 3711 §3.3.1)
            first_sequence=secrets.randbelow(1 << 15),
            has_nack=offer.audio.has_nack,
        )
        role = DtlsRole.ACTIVE if choose_role(offer.setup, self.plan.dtls_role) == "active" else DtlsRole.PASSIVE
        session = Session(
            IceLite(minted.ufrag, minted.password, offer.ice_ufrag, consent_s=self._limits.consent_s),
            DtlsEndpoint(self._contexts, role, offer.fingerprints, timeout_s=self._limits.handshake_s),
            stream,
            now_s,
            self._limits,
        )
        names = CallNames(call_id, session_id.hex())
        call = Call(names, session, offer, role, request, self._exchange, self._host, self._call_ended)
        call.minted_at_s = minted.token.minted_at_s
        self._calls[call_id] = call
        self._is_empty.clear()
        self._exchange.admit(call, minted.ufrag)
        call.start()
        self._opened += 1
        answer = build_answer(offer, self._answering(minted, stream, role))
        session.phases.answered_s = self._loop.time()
        return OpenedCall(call_id, answer, etag_of(minted.ufrag))

    def home_of(self, call_id: str) -> Path | None:
        """The unix socket of the worker that has the call, where that is another one."""
        slot = slot_of(call_id)
        return None if slot is None or slot == self.plan.slot else self.plan.socket_of(slot)

    def neighbours(self) -> list[Path]:
        """The unix sockets of this machine's other workers: those that are there now."""
        own = self.plan.socket_of(self.plan.slot)
        return sorted(path for path in self.plan.neighbours.glob(SOCKETS) if path != own)

    def etag_of(self, call_id: str) -> str:
        return etag_of(self._find(call_id).session.ice.ufrag)

    async def restart_ice(self, call_id: str, fragment: str) -> RestartedIce:
        """Mint another token for the same session; the former one is taken until the first check with the new one."""
        call = self._find(call_id)
        try:
            wanted = read_fragment(fragment)
        except SdpError as error:
            raise CallRefused(Refusal.INVALID_OFFER, str(error), param="sdp") from error
        if wanted.ufrag is None:
            raise CallRefused(Refusal.INVALID_OFFER, "the fragment has no a=ice-ufrag to go on with", param="sdp")
        minted = self._mint(session_id_of(call_id), after_s=call.minted_at_s)
        call.minted_at_s = minted.token.minted_at_s
        call.session.ice.restart(minted.ufrag, minted.password, wanted.ufrag, self._loop.time())
        self._exchange.admit(call, minted.ufrag)
        answering = self._answering(minted, call.session.stream, call.role)
        return RestartedIce(build_fragment(answering, wanted.mids), etag_of(minted.ufrag))

    async def end_call(self, call_id: str) -> None:
        self._find(call_id).end(EndReason.CLIENT_HUNG_UP)

    def statistics(self, call_id: str) -> Mapping[str, Any]:
        return self._find(call_id).statistics()

    def calls(self) -> list[Mapping[str, Any]]:
        """The youngest, up to LISTED_MAX."""
        youngest = list(self._calls.values())[-LISTED_MAX:]
        return [call.summary() for call in reversed(youngest)]

    @property
    def is_draining(self) -> bool:
        return self._is_draining

    # --- what the process asks for

    def start(self) -> None:
        """Begin to take samples of all calls, once a second."""
        self._sampler = self._loop.create_task(self._sample_for_ever())

    def take_plan(self, plan: WorkerPlan, ring: KeyRing, host: AgentHost) -> None:
        """Settings, keys and agent for calls that come from now on."""
        self.plan, self._ring, self._host = plan, ring, host
        self._budget = OfferBudget(plan.offers_per_s, plan.offers_burst, self._loop.time())

    def drain(self, deadline_s: float | None) -> None:
        """Take no more calls; those that are there end by themselves, or with DRAINED after so many seconds."""
        self._is_draining = True
        if deadline_s is not None:
            self._loop.call_later(deadline_s, self._end_all, EndReason.DRAINED)

    async def wait_empty(self) -> None:
        """Until no call is left."""
        await self._is_empty.wait()

    async def close(self, reason: EndReason) -> None:
        """End every call, and wait until each has said goodbye."""
        if self._sampler is not None:
            self._sampler.cancel()
            await asyncio.gather(self._sampler, return_exceptions=True)
        self._end_all(reason)
        await self._is_empty.wait()

    def snapshot(self) -> dict[str, Any]:
        """Counts for metrics: plain values, cheap to make."""
        states = Counter(call.session.state.name.lower() for call in self._calls.values())
        return {
            "calls": len(self._calls),
            "states": dict(states),
            "opened": self._opened,
            "ended": dict(self._ended),
            "refused": dict(self._refused),
            "setup_ms": self._setup_ms.build(),
            "exchange": self._exchange.snapshot(),
            "is_draining": self._is_draining,
        }

    # --- inside

    @property
    def _limits(self) -> SessionLimits:
        return SessionLimits(longest_s=self.plan.call_s_max)

    def _allow_another(self) -> None:
        if self._is_draining:
            raise CallRefused(
                Refusal.DRAINING, "this transceiver takes no more calls", retry_after_s=RETRY_WHEN_DRAINING_S
            )
        if len(self._calls) >= self.plan.calls_max:
            raise CallRefused(
                Refusal.TOO_MANY_CALLS,
                f"{self.plan.calls_max} calls are in progress, which is all this transceiver takes",
                retry_after_s=RETRY_WHEN_FULL_S,
            )
        wait_s = self._budget.take(self._loop.time())
        if wait_s:
            raise CallRefused(
                Refusal.TOO_MANY_OFFERS,
                f"offers come faster than {self.plan.offers_per_s} a second",
                retry_after_s=math.ceil(wait_s),
            )

    def _mint(self, session_id: bytes, after_s: int = 0) -> MintedToken:
        """A token for this worker. Sealing is deterministic and counts in seconds: `after_s` makes it a new one."""
        now_s = time.time()
        mint_s = max(int(now_s), after_s + 1)
        if mint_s > now_s + AHEAD_MAX_S:
            raise CallRefused(
                Refusal.TOO_MANY_OFFERS, "this call has restarted ICE too often", retry_after_s=AHEAD_MAX_S
            )
        return mint_token(self._ring, to=self._trunk, now_s=mint_s, cluster=self.plan.cluster, session_id=session_id)

    def _answering(self, minted: MintedToken, stream: Stream, role: DtlsRole) -> Answering:
        return Answering(
            ufrag=minted.ufrag,
            password=minted.password,
            addresses=self.plan.relays,
            fingerprint=self._certificate.fingerprint,
            role="active" if role is DtlsRole.ACTIVE else "passive",
            ssrc=stream.ssrc,
            cname=stream.cname,
            session_id=minted.token.session_id,
        )

    def _find(self, call_id: str) -> Call:
        call = self._calls.get(call_id)
        if call is None:
            raise CallRefused(Refusal.NO_SUCH_CALL, f"there is no call {call_id}, or no longer")
        return call

    def _end_all(self, reason: EndReason) -> None:
        for call in list(self._calls.values()):
            call.end(reason)

    def _call_ended(self, call: Call, reason: EndReason) -> None:
        self._calls.pop(call.call_id, None)
        self._ended[reason.value] += 1
        phases = call.session.phases
        if phases.established_s is not None:
            self._setup_ms.add((phases.established_s - phases.opened_s) * 1000)
        if not self._calls:
            self._is_empty.set()

    async def _sample_for_ever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now_s = self._loop.time()
            for call in list(self._calls.values()):
                call.sample(now_s)


def call_id_of(session_id: bytes) -> str:
    """The name of a call in the API: letters and digits, in which its session is readable for its workers."""
    return CALL_ID_PREFIX + base64.b32encode(session_id).decode().rstrip("=").lower()


def session_id_of(call_id: str) -> bytes:
    """The other way; ValueError for what is no call's name."""
    text = call_id.removeprefix(CALL_ID_PREFIX).upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))


def slot_of(call_id: str) -> int | None:
    """Which worker a call's name speaks of; None when it is no call's name."""
    try:
        session_id = session_id_of(call_id)
    except ValueError:
        return None
    return session_id[0] if len(session_id) == SESSION_ID_LENGTH else None


def etag_of(ufrag: str) -> str:
    """Names an ICE session without telling its token."""
    return hashlib.sha256(ufrag.encode()).hexdigest()[:16]


def _read(text: str) -> Offer:
    try:
        return read_offer(text)
    except SdpError as error:
        raise CallRefused(Refusal.INVALID_OFFER, str(error), param="sdp") from error
