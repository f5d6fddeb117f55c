"""What signalling is told of a worker's charge: its settings, and its certificate for HTTPS.

Lives here: those two. Must not live here: answering requests (http).
"""

from __future__ import annotations

import ssl

from fastrelay.errors import ConfigError
from fastrelay.http.settings import HttpSettings
from fastrelay.transceiver.worker.orders import Charge
from fastrelay.transceiver.worker.plan import WorkerPlan


def http_settings(charge: Charge) -> HttpSettings:
    """ConfigError for API keys that cannot be read."""
    plan = charge.plan
    return HttpSettings(
        api_keys=charge.accepted_keys,
        is_open=plan.is_open,
        allowed_origins=plan.allowed_origins,
        public_url=plan.public_url,
        redirect_to=plan.redirect_to,
        secret_lifetime_s=plan.secret_lifetime_s,
        serves_demo=plan.serves_demo,
    )


def tls_context(plan: WorkerPlan) -> ssl.SSLContext | None:
    """For HTTPS, None for HTTP. ConfigError for files that cannot be used."""
    if plan.certificate_file is None or plan.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(plan.certificate_file, plan.key_file)
    except OSError as error:  # an SSLError is one
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError("http.certificate_file", f"{plan.certificate_file} with {plan.key_file}: {reason}") from None
    return context
