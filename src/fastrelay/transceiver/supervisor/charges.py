"""What workers are to be told: an operator's settings, the secrets they name, and a place for each worker.

Lives here: reading the secrets, and turning settings into plans. Must not live here: telling it (crew).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from fastrelay.http.keys import read_keys
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.supervisor.settings import Signalling, TransceiverSettings
from fastrelay.transceiver.worker.orders import Charge
from fastrelay.transceiver.worker.plan import WorkerPlan


@dataclass(frozen=True, slots=True)
class Charges:
    """One set of settings with the secrets as they were read."""

    settings: TransceiverSettings
    ring: KeyRing = field(repr=False)
    api_keys: str | None = field(repr=False)
    neighbours: Path

    @classmethod
    def of(cls, settings: TransceiverSettings, neighbours: Path) -> Self:
        """ConfigError for secrets that cannot be used."""
        ring = settings.load_keys()
        ring.minting_key(time.time())  # without one there could be no calls
        return cls(settings, ring, read_api_keys(settings.signalling.api_keys_file), neighbours)

    def charge(self, slot: int, cpu: int | None) -> Charge:
        """For one worker."""
        settings, http, limits = self.settings, self.settings.signalling, self.settings.limits
        plan = WorkerPlan(
            slot=slot,
            cpu=cpu,
            trunk=settings.trunk,
            relays=settings.relays,
            allowed=settings.allowed,
            neighbours=self.neighbours,
            agent=settings.agent,
            cluster=settings.cluster,
            dtls_role=settings.dtls_role,
            calls_max=limits.calls,
            offers_per_s=limits.offers_per_s,
            offers_burst=limits.offers_burst,
            call_s_max=float(limits.call_s),
            is_open=http.api_keys_file is None,
            allowed_origins=_origins(http),
            public_url=http.public_url or "",
            redirect_to=http.redirect_to or "",
            secret_lifetime_s=http.secret_lifetime_s,
            serves_demo=http.serves_demo,
            certificate_file=http.certificate_file,
            key_file=http.key_file,
            drain_timeout_s=settings.drain_timeout_s,
            log_form=settings.log_form,
        )
        return Charge(plan, self.ring, self.api_keys)


def _origins(http: Signalling) -> tuple[str, ...]:
    """Where calls are open, a page from anywhere must not make them through the browser of someone who is let in."""
    if http.allowed_origins is not None:
        return http.allowed_origins
    return () if http.api_keys_file is None else ("*",)


def read_api_keys(path: Path | None) -> str | None:
    """What workers get of the file, seen to be usable. ConfigError when it is not; None without one."""
    return None if path is None else read_keys(path)
