"""The schema registry as the bridge needs it: reachable, with our schemas; and its clock compared with ours."""

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2

from connector.catalogue import Catalogue
from connector.doctor.findings import Finding, not_checked, of_failure
from connector.errors import ConfigurationInvalid, RegistryFailed
from connector.registry.client import LEVEL, Registered, RegistryClient
from connector.registry.retries import CHECK
from connector.settings.tables import Settings

_SECONDS: Final = 5.0
_NEAR_SECONDS: Final = 5.0
_FAR_SECONDS: Final = 300.0
"""From here on, event times seem to be in the future, and are replaced."""


def check_registry(settings: Settings, catalogue: Catalogue | None) -> Iterator[Finding]:
    """Check that the registry has our schemas, with the right compatibility level."""
    if catalogue is None:
        yield from (not_checked(what, "the catalogue cannot be read") for what in ("registry", "schemas"))
        return
    try:
        with closing(RegistryClient(settings.registry.url, settings.registry.client, CHECK)) as registry:
            found = [registry.look_up(record_type) for record_type in catalogue]
            levels = {record_type.subject: registry.level(record_type.subject) for record_type in catalogue}
    except (ConfigurationInvalid, RegistryFailed) as failed:
        yield of_failure("registry", failed)
        yield not_checked("schemas", "the registry was not reached")
        return
    yield Finding("registry", "ok", f"{settings.registry.url} answers")
    yield from schemas(found, levels)


def schemas(found: Sequence[Registered], levels: Mapping[str, str | None]) -> Iterator[Finding]:
    """Check which of our schemas are registered, and their compatibility levels."""
    missing = [one.subject for one in found if one.schema_id is None]
    others = [
        f"{subject} ({level or 'none'})" for subject, level in levels.items() if level != LEVEL and subject not in missing
    ]
    if missing:
        yield Finding(
            "schemas", "error", f"not registered: {', '.join(missing)}", "`connector schemas register` registers them"
        )
    if others:
        advice = "`connector schemas register` sets it"
        yield Finding("schemas", "warning", f"the compatibility level is not {LEVEL}: {', '.join(others)}", advice)
    if not (missing or others):
        yield Finding("schemas", "ok", f"{len(found)} schemas are registered, with compatibility level {LEVEL}")


def check_clock(settings: Settings) -> Finding:
    """Compare our clock with the registry's: Kafka reports the time only in records, and the doctor produces none."""
    began = time.time()
    try:
        # The first of several URLs: one clock is enough.
        answer = httpx2.get(settings.registry.url.split(",")[0].strip(), timeout=_SECONDS, verify=_trusted(settings))
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
        return not_checked("clock", "the registry does not answer, and Kafka does not report the time")
    except (KeyError, ValueError, TypeError):
        return not_checked("clock", "the registry sends no Date header, and Kafka does not report the time")
    return difference(began, theirs, time.time())


def difference(began: float, theirs: float, ended: float) -> Finding:
    """Check the registry's time, in whole seconds, against our times before and after the request."""
    # Only a difference outside of the request is certain; the registry truncates up to a second.
    apart = max(began - (theirs + 1), theirs - ended, 0)
    which = "behind" if theirs > ended else "ahead of"
    advice = "let NTP set the clocks of all machines"
    if apart > _FAR_SECONDS:
        return Finding("clock", "error", f"ours is {apart:.0f} s {which} the registry's: times of records are wrong", advice)
    if apart > _NEAR_SECONDS:
        return Finding("clock", "warning", f"ours is {apart:.0f} s {which} the registry's", advice)
    return Finding("clock", "ok", f"within {_NEAR_SECONDS:.0f} s of the registry's; Kafka does not report the time")


def _trusted(settings: Settings) -> ssl.SSLContext | bool:
    if settings.registry.url.strip().startswith("http:"):
        # Empty: loading certificates that no http URL needs takes longer than the request.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    given = settings.registry.client.get("ssl.ca.location")
    return ssl.create_default_context(cafile=str(given)) if given else True
