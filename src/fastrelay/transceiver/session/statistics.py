"""What can be told of a session: one dictionary of plain values, for telemetry and for the client's own page.

Lives here: its form and where each figure comes from. Must not live here: who asks, or how often (transceiver.worker).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from fastrelay.transceiver.session.session import Session

CLOCK_RATE: Final = 48_000
RATE_AGE_MIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """Running counts at a moment: two of them make a rate."""

    at_s: float
    octets_in: int = 0
    octets_out: int = 0


def sample(session: Session, now_s: float) -> Sample:
    if session.inbound is None or session.outbound is None:
        return Sample(now_s)
    return Sample(now_s, session.inbound.reception.octets, session.outbound.octets)


def describe(session: Session, now_s: float, earlier: Sample) -> dict[str, Any]:
    """Everything about a session that its client, or its operator, may see. Rates are since the earlier sample."""
    told: dict[str, Any] = {
        "state": session.state.name.lower(),
        "uptime_s": round(now_s - session.phases.opened_s, 3),
        "end_reason": session.reason,
        "setup": session.phases.since_opened_ms(),
        "datagrams_refused": session.refused,
    }
    if session.inbound is None or session.outbound is None or session.reports is None:
        return told
    assert session.dtls.keys is not None, "SRTP was made from them"
    told["srtp_profile"] = session.dtls.keys.profile.name
    told["dtls_version"] = session.dtls.version
    told["rtt_ms"] = _ms(session.reports.rtt_s)
    since_s = now_s - earlier.at_s
    reception, outbound, reports = session.inbound.reception, session.outbound, session.reports
    known = reception.packets + reception.lost
    told["incoming"] = {
        "packets": reception.packets,
        "octets": reception.octets,
        "lost": reception.lost,
        "loss_fraction": round(reception.lost / known, 5) if known else 0.0,
        "jitter_ms": _ms(reception.jitter / CLOCK_RATE),
        "bitrate_bps": _rate(reception.octets - earlier.octets_in, since_s),
    }
    told["outgoing"] = {
        "packets": outbound.packets,
        "octets": outbound.octets,
        "loss_fraction": reports.remote_lost_fraction,
        "jitter_ms": _ms(reports.remote_jitter_s),
        "bitrate_bps": _rate(outbound.octets - earlier.octets_out, since_s),
    }
    return told


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _rate(octets: int, seconds: float) -> int | None:
    return round(octets * 8 / seconds) if seconds >= RATE_AGE_MIN_S else None
