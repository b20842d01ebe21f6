"""What is to be looked at on this machine: privacy of the settings, room for the metrics' files, open files.

In go settings and what the machine has; nothing is left behind.
"""

import ipaddress
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connector.doctor.findings import Finding
from connector.settings.tables import Authentication, Http, Settings

_MIB: Final = 1024 * 1024
_LEAST_BYTES: Final = 16 * _MIB
"""A worker's metrics take 3 to 4 MiB; those of a worker that died stay until the next start."""
_OTHER_FILES: Final = 100
"""What a worker has open beside the connections of callers: Kafka's brokers, the metrics, itself."""


def check_privacy(settings: Settings) -> Iterator[Finding]:
    """Tell what lets strangers in or shows them anything."""
    wrong = [finding for finding in (_allow_anyone(settings.authentication), _management(settings.management.host)) if finding]
    yield from wrong or [Finding("privacy", "ok", "strangers are not let in, and management listens on loopback")]


def check_temporary_folder() -> Finding:
    """Tell whether the metrics' files have room. The bridge does not start without their folder."""
    try:
        folder = tempfile.gettempdir()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        advice = "make one of its folders writable, or name one by TMPDIR"
        return Finding("disk", "error", f"there is no folder for temporary files ({error.strerror})", advice)
    return room(folder, shutil.disk_usage(folder).free)


def check_cache_folder(folder: str) -> Iterator[Finding]:
    """Tell whether schema ids can be kept where the settings say; without that a start needs the registry."""
    if not folder:
        return
    # The bridge makes it, we make nothing: what is to be made needs a parent that takes it.
    there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        yield Finding("disk", "ok", f"registry.cache_folder {folder} can be written")
    else:
        advice = "make it writable for the bridge's user, or name another folder"
        yield Finding(
            "disk", "warning", f"registry.cache_folder {folder} cannot be written: a start needs the registry", advice
        )


def room(folder: str, free_bytes: int) -> Finding:
    """Judge the room in the folder of temporary files."""
    found = f"{folder} has {free_bytes // _MIB} MiB left"
    if free_bytes < _LEAST_BYTES:
        return Finding(
            "disk",
            "warning",
            found,
            f"make room, or name another folder by TMPDIR: workers keep metrics there ({_LEAST_BYTES // _MIB} MiB)",
        )
    return Finding("disk", "ok", found)


def check_open_files(http: Http) -> Finding:
    """Tell whether a process may open as many files as a worker takes connections."""
    return open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0], http)


def open_files(limit: int, http: Http) -> Finding:
    """Judge the limit of open files, which counts for each worker alone; negative is no limit."""
    needed = http.max_connections + _OTHER_FILES
    found = f"a process may open {limit}; a worker needs {needed} (http.max_connections + {_OTHER_FILES})"
    if 0 <= limit < needed:
        advice = f"set LimitNOFILE={needed} in the unit (ulimit -n {needed} in a shell), or lower http.max_connections"
        return Finding("open files", "warning", found, advice)
    return Finding("open files", "ok", found if limit >= 0 else "a process may open any number")


def _allow_anyone(authentication: Authentication) -> Finding | None:
    if not authentication.allow_anyone:
        return None
    advice = "set authentication.url_token or a header instead, and remove authentication.allow_anyone"
    return Finding("privacy", "warning", "authentication.allow_anyone is on: strangers can fill your topics", advice)


def _management(host: str) -> Finding | None:
    if is_loopback(host):
        return None
    advice = 'see to it that only your monitoring reaches it, or set management.host = "127.0.0.1"'
    return Finding("privacy", "warning", f"management listens on {host}, and authenticates nobody", advice)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
