"""The folder that an instance needs while it runs: for the workers' metrics and, unless a setting names one, cached schema ids.

It is one of the usual folders for temporary files. In a container with a read-only file system none of them may be writable:
then memory that containers share (/dev/shm) or the folder of the schema ids has to do.
"""

import tempfile
from pathlib import Path
from typing import Final

from connector.errors import ConfigurationInvalid

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - nothing is opened there by a name that others could guess
_PREFIX: Final = "connector-"
ADVICE: Final = (
    "mount a writable folder at /tmp (64 MiB in memory are enough), name one by TMPDIR, or set registry.cache_folder to one "
    "that the connector's user can write"
)


def make_own_folder(cache_folder: str) -> Path:
    """Make a folder for this process alone, and return it.

    Raises:
        ConfigurationInvalid: if there is no place for it; in one line, with what to mount.
    """
    for place in (None, _SHARED_MEMORY, Path(cache_folder) if cache_folder else None):
        try:
            if place and place != _SHARED_MEMORY:
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        except OSError:
            continue
    raise ConfigurationInvalid([f"no folder for temporary files can be written; {ADVICE}"])
