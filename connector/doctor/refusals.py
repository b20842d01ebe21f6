"""The management address of the settings in, what a running instance has refused since its start out, with what helps."""

from collections.abc import Iterator, Mapping
from typing import Final

import httpx2

from connector.doctor.findings import Finding, not_checked
from connector.metrics import counts_by_label
from connector.refusals import REFUSALS, Explanation
from connector.settings.tables import Management

WHAT: Final = "refused requests"
_SECONDS: Final = 5.0
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What to connect to where an instance listens on every address."""
_UNKNOWN: Final = Explanation("A reason that this release does not know.", "see the release notes of the instance's release")


def check_refusals(settings: Management) -> Iterator[Finding]:
    """Report the requests that the instance on the management address has refused; it is not checked if none runs."""
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    address = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    if not settings.port:
        yield not_checked(WHAT, "management.port is 0, so the address of a running instance is not known")
        return
    try:
        # Not through a proxy of the environment: it is another way to the instance than the settings say.
        with httpx2.Client(timeout=_SECONDS, trust_env=False) as client:
            answer = client.get(f"http://{address}/metrics")
        counts = counts_by_label(answer.text, "connector_refused_requests", "reason")
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        yield not_checked(WHAT, f"no instance answers on {address} (management.host, management.port)")
        return
    if not counts:
        yield not_checked(WHAT, f"what answers on {address} does not count refused requests")
        return
    yield from refusals(counts)


def refusals(counts: Mapping[str, int]) -> Iterator[Finding]:
    """Report each reason that was counted, the most frequent first."""
    counted = sorted(((count, reason) for reason, count in counts.items() if count), reverse=True)
    if not counted:
        yield Finding(WHAT, "ok", "none since the start of the instance")
    explained = {str(reason): one for reason, one in REFUSALS.items()}
    for count, reason in counted:
        one = explained.get(reason, _UNKNOWN)
        meaning = one.meaning.replace("`", "")
        yield Finding(WHAT, "warning", f"{count} {reason} since the start of the instance: {meaning}", one.advice)
