"""What signalling is told of a worker's charge: its settings, and its certificate for HTTPS.

Lives here: those two. Must not live here: answering requests (http).
"""

from __future__ import annotations

import ssl
from pathlib import Path

from fastrelay.errors import ConfigError
from fastrelay.http.settings import HttpSettings
from fastrelay.io.private_file import read_private_file
from fastrelay.transceiver.worker.orders import Charge


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


def tls_context(certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext | None:
    """For HTTPS, None for HTTP. ConfigError for files that cannot be used."""
    if certificate_file is None or key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # without a password OpenSSL would ask for that of an encrypted key on the terminal, and wait
        context.load_cert_chain(certificate_file, key_file, password="")
    except OSError as error:  # an SSLError is one
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError("http.certificate_file", f"{certificate_file} with {key_file}: {reason}") from None
    try:
        read_private_file(key_file)
    except ConfigError as error:
        raise ConfigError("http.key_file", f"{key_file}: {error.problem}") from error
    return context
