"""The limit of open files of a process, which its connections count against: raised at start, watched afterwards.

When it is reached, libuv accepts each new connection and closes it at once, without an error that the bridge could see.
"""

import errno
import os
import resource
from typing import Final

from connector.settings.tables import Http

OTHER_FILES: Final = 100
"""Open files of a worker in addition to its HTTP connections: Kafka's brokers, metrics, its own files."""
_UNLIMITED: Final = -1


def needed_files(http: Http) -> int:
    """Return how many files a worker opens at most."""
    return http.max_connections + OTHER_FILES


def raise_limit(http: Http) -> int:
    """Raise this process' soft limit to what it needs, as far as its hard limit allows; return the limit (-1: none)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = needed_files(http)
    if soft in (resource.RLIM_INFINITY, _UNLIMITED) or soft >= needed:
        return _UNLIMITED if soft == resource.RLIM_INFINITY else soft
    limit = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def are_exhausted() -> bool:
    """Return whether this process, or the machine, can open no more files."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
