"""Fetch the jars of Kafka and Flink and the Apicurio Registry app from Maven Central, once, into the user's cache folder.

Out comes a folder that is always whole: it is filled under another name and renamed. Any number of processes may ask
at once. Nothing is written into the source tree.
"""

import fcntl
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stack.errors import StackUnavailable
from tests.stack.versions import (
    APICURIO_VERSION,
    FLINK_KAFKA_VERSION,
    FLINK_LOG4J_VERSION,
    FLINK_VERSION,
    KAFKA,
    KAFKA_SCALA_VERSION,
    MAVEN_DEPENDENCY_PLUGIN_VERSION,
    KafkaRelease,
)

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>stack</groupId>
  <artifactId>jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_FLINK = (
    *(
        f"org.apache.flink:flink-{name}:{FLINK_VERSION}"
        for name in (
            *("clients", "table-api-java-bridge", "table-planner-loader", "table-runtime", "connector-files", "json"),
            # The SQL client does not start without the gateway and Python's jar.
            *("sql-client", "sql-gateway", "python", "sql-avro-confluent-registry"),
        )
    ),
    f"org.apache.flink:flink-sql-connector-kafka:{FLINK_KAFKA_VERSION}",
    f"org.apache.logging.log4j:log4j-slf4j-impl:{FLINK_LOG4J_VERSION}",
)
_DEPENDENCY_PLUGIN = f"org.apache.maven.plugins:maven-dependency-plugin:{MAVEN_DEPENDENCY_PLUGIN_VERSION}"
_MAVEN_TIMEOUT_SECONDS = 1800


def kafka_jars(release: KafkaRelease = KAFKA) -> Path:
    """Return the folder of Kafka's jars, fetched first if need be (43 MB).

    Raises:
        StackUnavailable: they are not in the cache and Maven is missing or could not get them.
    """
    logging = "log4j" if "log4j-" in release.binding else "reload4j"
    folder = cache_folder() / f"kafka_{KAFKA_SCALA_VERSION}-{release.version}-{logging}-{release.binding_version}"
    jars = (
        f"org.apache.kafka:kafka_{KAFKA_SCALA_VERSION}:{release.version}",
        f"{release.binding}:{release.binding_version}",
    )
    return fetched(folder, lambda target: _fetch_jars(jars, target))


def flink_jars() -> Path:
    """Return the folder of the jars of Flink's SQL client with its Kafka connector, fetched first if need be (216 MB).

    Raises:
        StackUnavailable: they are not in the cache and Maven is missing or could not get them.
    """
    folder = cache_folder() / f"flink-{FLINK_VERSION}-kafka-{FLINK_KAFKA_VERSION}-log4j-{FLINK_LOG4J_VERSION}"
    return fetched(folder, lambda target: _fetch_jars(_FLINK, target))


def apicurio_app() -> Path:
    """Return the folder of the Apicurio Registry app (quarkus-run.jar), fetched first if need be (159 MB).

    Raises:
        StackUnavailable: it is not in the cache and Maven is missing or could not get it.
    """
    return fetched(cache_folder() / f"apicurio-{APICURIO_VERSION}", _fetch_apicurio)


def fetched(folder: Path, fetch: Callable[[Path], None]) -> Path:
    """Return `folder`; if it is missing, `fetch` fills an empty one that becomes it only when whole."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{folder.name}.lock")):
        # Another process may have fetched it while this one waited for the lock.
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.partial-") as partial:
                whole = Path(partial, "whole")
                whole.mkdir()
                fetch(whole)
                whole.rename(folder)
    return folder


def cache_folder() -> Path:
    """Return where everything fetched for tests is kept, below the user's cache folder."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # A relative path is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
    cache = named if named.is_absolute() else Path.home() / ".cache"
    return cache / "kaleyra-whatsapp-connector" / "stack"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by the end of the process
        yield


def _fetch_jars(artifacts: Iterable[str], folder: Path) -> None:
    parts = [artifact.split(":") for artifact in artifacts]
    dependencies = "\n".join(
        f"    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in parts
    )
    with tempfile.TemporaryDirectory(dir=folder.parent) as project:
        pom = Path(project, "pom.xml")
        pom.write_text(_POM.format(dependencies=dependencies), encoding="utf-8")
        _maven("copy-dependencies", "-f", str(pom), "-DincludeScope=runtime", f"-DoutputDirectory={folder}")
    for _, name, version in parts:
        _expect(folder / f"{name}-{version}.jar")


def _fetch_apicurio(folder: Path) -> None:
    artifact = f"io.apicurio:apicurio-registry-app:{APICURIO_VERSION}:tar.gz:all"
    with tempfile.TemporaryDirectory(dir=folder.parent) as download:
        _maven("copy", f"-Dartifact={artifact}", f"-DoutputDirectory={download}")
        (archive,) = Path(download).glob("*.tar.gz")
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    _expect(folder / "quarkus-run.jar")


def _maven(goal: str, *arguments: str) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise StackUnavailable("Maven is needed once, to fetch Kafka, Flink and the registry: `apt-get install maven`")
    command = [mvn, "-q", "-B", "-Dstyle.color=never", f"{_DEPENDENCY_PLUGIN}:{goal}", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise StackUnavailable(f"Maven did not end within {_MAVEN_TIMEOUT_SECONDS} s: is the network slow?") from None
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        reason = next((line for line in lines if "ERROR" in line), "no reason given")
        raise StackUnavailable(f"Maven could not fetch a part of the stack, is the network there? {reason[:300]}")


def _expect(file: Path) -> None:
    if not file.is_file():
        raise StackUnavailable(f"Maven ended well but fetched no {file.name}: see tests/stack/artifacts.py")
