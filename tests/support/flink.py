"""Flink's SQL client on a cluster in its own process: statements in, what it printed out."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.stack.java import find_java
from tests.stack.versions import FLINK_JAVA

_TIED: Final = Path(__file__).parents[1] / "stack" / "die_with_parent.py"
_SECONDS: Final = 300
_OPENED: Final = (
    "lang",
    "net",
    "io",
    "nio",
    "lang.reflect",
    "text",
    "time",
    "util",
    "util.concurrent",
    "util.concurrent.atomic",
)
"""Packages of java.base into which Flink reflects."""
_SETTINGS: Final = {
    "execution.target": "local",
    "table.dml-sync": "true",
    "rest.address": "127.0.0.1",
    "rest.bind-address": "127.0.0.1",
    "rest.port": "0",
}
"""Of the session: in config.yaml, those of the port would apply to the client's own gateway too."""
_LOGS: Final = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1} %m%n
"""


def run(jars: Path, folder: Path, statements: str, time_zone: str = "UTC") -> str:
    """Run statements to the end of their jobs; an error when one of them fails. `folder` is empty, and holds its files."""
    settings = "".join(f"SET '{name}' = '{value}';\n" for name, value in _SETTINGS.items())
    files = {"config.yaml": "", "log4j2.properties": _LOGS, "job.sql": settings + statements}
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    opened = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in (*_OPENED, "util.concurrent.locks")]
    command = [
        str(find_java(FLINK_JAVA)),
        *("-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Duser.timezone={time_zone}"),
        *(*opened, "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED"),
        *(f"-Djava.io.tmpdir={folder}", f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}"),
        *("-cp", f"{jars}/*", "org.apache.flink.table.client.SqlClient", "-f", str(folder / "job.sql")),
    ]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), *command],
        env={**os.environ, "FLINK_CONF_DIR": str(folder), "FLINK_HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    # The client ends well even if a statement fails, and the error that it shows last can hide the job's own.
    telling = ("[ERROR]", "Caused by", "FAILED with failure cause")
    errors = [line for line in (done.stdout + done.stderr).splitlines() if any(part in line for part in telling)]
    assert done.returncode == 0, done.stderr[-4000:]
    assert "[ERROR]" not in done.stdout, "\n".join(dict.fromkeys(errors))[:6000]
    return done.stdout
