"""Where personal data stands that nobody looks for: whole callbacks, and numbers inside of texts that are kept.

In go settings, the catalogue and the mode of the spool's folder; a finding names who needs to read what.
"""

from collections.abc import Iterator
from pathlib import Path

from connector.catalogue import Catalogue
from connector.doctor.findings import Finding
from connector.privacy.policy import holds_whole_callbacks
from connector.settings.tables import Settings

_TELLS_OF_NUMBERS = "message.system.body"
"""WhatsApp's own text: `… changed from 39… to 39…`."""


def check_personal(settings: Settings, catalogue: Catalogue | None) -> Iterator[Finding]:
    """Tell where whole callbacks are kept, and whether what is hidden elsewhere stands in clear there."""
    if catalogue is not None:
        yield _whole_callbacks(catalogue)
        yield from _numbers_in_texts(catalogue)
    if settings.spool.folder:
        is_sealed = bool(settings.privacy.seal_keys.get_secret_value())
        yield _spool(Path(settings.spool.folder), "sealed" if is_sealed else "in clear")


def _whole_callbacks(catalogue: Catalogue) -> Finding:
    topics = [record_type.topic for record_type in catalogue if holds_whole_callbacks(record_type.schema)]
    access = "nobody but who replays needs READ on them"
    if catalogue.policy.seals:
        return Finding("privacy", "ok", f"{', '.join(topics)} hold whole callbacks, sealed; {access}, and the keys")
    found = f"{', '.join(topics)} hold whole callbacks in clear; {access}"
    if catalogue.policy.keeps_all:
        return Finding("privacy", "ok", found)
    return Finding("privacy", "warning", found, "set privacy.seal_keys, and keep the keys from who must not read numbers")


def _numbers_in_texts(catalogue: Catalogue) -> Iterator[Finding]:
    if catalogue.policy.rules.phone == "keep":
        return
    fields = [
        f"{record_type.name}.{one.path}"
        for record_type in catalogue
        if not holds_whole_callbacks(record_type.schema)
        for one in catalogue.policy.decisions(record_type.name, record_type.schema)
        if one.outcome == "keep" and (one.field.get("raw") or one.field.get("source") == _TELLS_OF_NUMBERS)
    ]
    if fields:
        found = f'privacy.phone is "{catalogue.policy.rules.phone}", and numbers stand in clear in {", ".join(fields)}'
        advice = 'set privacy.content = "mask", or these fields alone in [privacy.fields]'
        yield Finding("privacy", "warning", found, advice)


def _spool(folder: Path, how: str) -> Finding:
    found = f"spool.folder {folder} holds whole callbacks {how}; nobody but the bridge's user needs to read it"
    try:
        mode = folder.stat().st_mode
    except OSError:
        # Not made yet; the bridge makes it for itself alone.
        return Finding("privacy", "ok", found)
    if mode & 0o077:
        return Finding("privacy", "warning", f"{found}, and others may open it", f"chmod 700 {folder}")
    return Finding("privacy", "ok", found)
