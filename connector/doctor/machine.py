"""Checks of this machine: privacy of the settings, disk space for the metrics' files, the limit of open files.

Settings in, findings out; it leaves no file behind.
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
from connector.errors import ConfigurationInvalid
from connector.http.open_files import OTHER_FILES, needed_files
from connector.settings.tables import Authentication, Http, Settings
from connector.temporary import ADVICE, make_own_folder

_MIB: Final = 1024 * 1024
_MIN_BYTES: Final = 16 * _MIB
"""A worker's metrics take 3 to 4 MiB; those of a crashed worker stay until the next start."""


def check_privacy(settings: Settings) -> Iterator[Finding]:
    """Check for settings that give strangers access."""
    wrong = [finding for finding in (_allow_anyone(settings.authentication), _management(settings.management.host)) if finding]
    yield from wrong or [Finding("privacy", "ok", "no setting admits everyone, and management listens on loopback")]


def check_temporary_folder(cache_folder: str = "") -> Finding:
    """Check that the metrics' files have room. The bridge does not start without their folder."""
    try:
        folder = make_own_folder(cache_folder)
    except ConfigurationInvalid:
        return Finding("disk", "error", "there is no folder for temporary files", ADVICE)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
        return room(str(folder.parent), shutil.disk_usage(folder).free)
    except OSError as error:
        return Finding("disk", "error", f"{folder.parent} cannot be written ({error.strerror})", ADVICE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_cache_folder(folder: str) -> Iterator[Finding]:
    """Check that the cache of schema ids can be written; without it a start needs the registry."""
    if not folder:
        return
    # The bridge creates it, the doctor creates nothing: so check the nearest existing parent.
    existing = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        yield Finding("disk", "ok", f"registry.cache_folder {folder} can be written")
    else:
        advice = "make it writable for the bridge's user, or name another folder"
        yield Finding(
            "disk", "warning", f"registry.cache_folder {folder} cannot be written: a start needs the registry", advice
        )


def room(folder: str, free_bytes: int) -> Finding:
    """Check the free space in the folder of temporary files."""
    found = f"{folder} has {free_bytes // _MIB} MiB left"
    if free_bytes < _MIN_BYTES:
        return Finding(
            "disk",
            "warning",
            found,
            f"free some space, or name another folder with TMPDIR: workers keep metrics there ({_MIN_BYTES // _MIB} MiB)",
        )
    return Finding("disk", "ok", found)


def check_open_files(http: Http) -> Finding:
    """Check that a process can open as many files as a worker needs; a worker raises its soft limit itself."""
    return open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1], http)


def open_files(limit: int, http: Http) -> Finding:
    """Check the limit of open files, which applies to each worker separately; negative is no limit."""
    needed = needed_files(http)
    found = f"a process can open {limit}; a worker needs {needed} (http.max_connections + {OTHER_FILES})"
    if 0 <= limit < needed:
        advice = f"set LimitNOFILE={needed} in the unit (ulimit -Hn {needed} in a shell), or lower http.max_connections"
        return Finding("open files", "warning", found, advice)
    return Finding("open files", "ok", found if limit >= 0 else "a process can open any number")


def _allow_anyone(authentication: Authentication) -> Finding | None:
    if not authentication.allow_anyone:
        return None
    advice = "set authentication.url_token or a header instead, and remove authentication.allow_anyone"
    return Finding("privacy", "warning", "authentication.allow_anyone is on: anyone can write to your topics", advice)


def _management(host: str) -> Finding | None:
    if is_loopback(host):
        return None
    advice = 'make sure that only your monitoring reaches it, or set management.host = "127.0.0.1"'
    return Finding("privacy", "warning", f"management listens on {host}, without authentication", advice)


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
