"""Where personal data is easily overlooked: in whole callbacks, and in phone numbers inside of texts.

Settings, catalogue and the mode of the spool's folder in, findings that say who needs read access out.
"""

from collections.abc import Iterator
from pathlib import Path

from connector.catalogue import Catalogue
from connector.doctor.findings import Finding
from connector.privacy.policy import holds_whole_callbacks
from connector.settings.tables import Settings

_TEXT_WITH_NUMBERS = "message.system.body"
"""WhatsApp's own text: `… changed from 39… to 39…`."""


def check_personal(settings: Settings, catalogue: Catalogue | None) -> Iterator[Finding]:
    """Report where whole callbacks are stored, and whether data that is hidden elsewhere is in plain text there."""
    if catalogue is not None:
        yield _whole_callbacks(catalogue)
        yield from _numbers_in_texts(catalogue)
    if settings.spool.folder:
        is_encrypted = bool(settings.privacy.seal_keys.get_secret_value())
        yield _spool(Path(settings.spool.folder), "encrypted" if is_encrypted else "in plain text")


def _whole_callbacks(catalogue: Catalogue) -> Finding:
    topics = [record_type.topic for record_type in catalogue if holds_whole_callbacks(record_type.schema)]
    access = f"only users who replay need READ on {'them' if len(topics) > 1 else 'it'}"
    names = f"{', '.join(topics)} hold{'' if len(topics) > 1 else 's'} whole callbacks"
    if catalogue.policy.seals:
        return Finding("privacy", "ok", f"{names}, encrypted; {access}, and the keys")
    found = f"{names} in plain text; {access}"
    if catalogue.policy.keeps_all:
        return Finding("privacy", "ok", found)
    return Finding("privacy", "warning", found, "set privacy.seal_keys, and give the keys only to users who can read numbers")


def _numbers_in_texts(catalogue: Catalogue) -> Iterator[Finding]:
    if catalogue.policy.rules.phone == "keep":
        return
    fields = [
        f"{record_type.name}.{one.path}"
        for record_type in catalogue
        if not holds_whole_callbacks(record_type.schema)
        for one in catalogue.policy.decisions(record_type.name, record_type.schema)
        if one.outcome == "keep" and (one.field.get("raw") or one.field.get("source") == _TEXT_WITH_NUMBERS)
    ]
    if fields:
        found = f'privacy.phone is "{catalogue.policy.rules.phone}", but numbers are in plain text in {", ".join(fields)}'
        advice = 'set privacy.content = "mask", or only these fields in [privacy.fields]'
        yield Finding("privacy", "warning", found, advice)


def _spool(folder: Path, how: str) -> Finding:
    found = f"spool.folder {folder} holds whole callbacks {how}; only the bridge's user needs to read it"
    try:
        mode = folder.stat().st_mode
    except OSError:
        # It does not exist yet; the bridge creates it with mode 0700.
        return Finding("privacy", "ok", found)
    if mode & 0o077:
        return Finding("privacy", "warning", f"{found}, but others can open it", f"chmod 700 {folder}")
    return Finding("privacy", "ok", found)
