"""What is to be known of the listener's certificate before its last day: callers refuse it from then on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from connector.doctor.findings import Finding
from connector.settings.tables import Tls

_SOON: Final = timedelta(days=21)
"""Authorities that give certificates for 90 days or less renew them a month before the end: by now that has failed."""
_ADVICE: Final = "renew it, and send SIGHUP: the bridge reads it anew and cuts nobody off"


def check_certificate(settings: Tls, now: datetime | None = None) -> Iterator[Finding]:
    """Tell until when the certificate is valid. One that cannot be read is told with the configuration."""
    path = settings.certificate_path
    if not path:
        return
    now = now or datetime.now(UTC)
    try:
        # The first of the file is the listener's own.
        certificate = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
    except (OSError, ValueError):
        yield Finding("certificate", "unknown", f"not checked: {path} cannot be read")
        return
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first:
        advice = "see whether the clock of this machine is right, or wait"
        yield Finding("certificate", "error", f"{path} is valid only from {first:%Y-%m-%d %H:%M} UTC on", advice)
    elif now > last:
        yield Finding("certificate", "error", f"{path} ended at {last:%Y-%m-%d %H:%M} UTC: callers refuse it", _ADVICE)
    elif last - now < _SOON:
        yield Finding("certificate", "warning", f"{path} ends at {last:%Y-%m-%d %H:%M} UTC", _ADVICE)
    else:
        yield Finding("certificate", "ok", f"{path} is valid until {last:%Y-%m-%d}")
