"""The listener's certificate in, findings about its validity out: clients refuse an expired certificate."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from connector.doctor.findings import Finding
from connector.settings.tables import Tls

_SOON: Final = timedelta(days=21)
"""Certificates for 90 days or less are usually renewed a month before they expire: by now the renewal has failed."""
_ADVICE: Final = "renew it, and send SIGHUP: the bridge reloads it and keeps its connections"


def check_certificate(settings: Tls, now: datetime | None = None) -> Iterator[Finding]:
    """Check how long the certificate is valid. One that cannot be read is an error of the configuration."""
    path = settings.certificate_path
    if not path:
        return
    now = now or datetime.now(UTC)
    try:
        # The first one in the file is the listener's own.
        certificate = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
    except (OSError, ValueError):
        yield Finding("certificate", "unknown", f"not checked: {path} cannot be read")
        return
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first:
        advice = "check the clock of this machine, or wait"
        yield Finding("certificate", "error", f"{path} is valid only from {first:%Y-%m-%d %H:%M} UTC", advice)
    elif now > last:
        yield Finding("certificate", "error", f"{path} expired at {last:%Y-%m-%d %H:%M} UTC: clients refuse it", _ADVICE)
    elif last - now < _SOON:
        yield Finding("certificate", "warning", f"{path} expires at {last:%Y-%m-%d %H:%M} UTC", _ADVICE)
    else:
        yield Finding("certificate", "ok", f"{path} is valid until {last:%Y-%m-%d}")
