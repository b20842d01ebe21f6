"""One real Apicurio Registry, with its data in memory, where a restart forgets all of it, or in files, where it does not.

In goes a folder; out comes `url`, the registry's Confluent-compatible API.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import httpx

from tests.stack.artifacts import apicurio_app
from tests.stack.java import QUICK_START, find_java
from tests.stack.process import JavaServer
from tests.stack.versions import APICURIO_JAVA


class ApicurioRegistry(JavaServer):
    """A registry with its log in `folder`, and with `keeps_data` its data, stored as docker-compose.yml has it.

    A new one checks no compatibility: set the level you rely on.
    """

    name = "apicurio"
    port_count = 2
    port_taken_message = " in use"  # "seems to be in use" for one port, "already in use" for the other

    def __init__(self, folder: Path, *, keeps_data: bool = False) -> None:
        super().__init__(folder)
        self._storage = {
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            "APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{self.folder}/registry;WRITE_DELAY=0",
        }
        if not keeps_data:
            self._storage = {}

    @property
    def url(self) -> str:
        """What a schema registry client is given as its url."""
        return f"{self._address}/apis/ccompat/v7"

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    def _prepare(self) -> None:
        """Nothing: its settings are its environment."""

    def _command(self) -> Sequence[str]:
        unpacked = f"-Djava.io.tmpdir={self.folder}"
        return [
            str(find_java(APICURIO_JAVA)),
            "-Xmx512m",
            *QUICK_START,
            unpacked,
            "-jar",
            str(apicurio_app() / "quarkus-run.jar"),
        ]

    def _environment(self) -> Mapping[str, str]:
        http, management = self._ports
        # What is set here for some other registry is not meant for this one.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("QUARKUS_", "APICURIO_"))}
        return (
            inherited
            | self._storage
            | {
                "QUARKUS_HTTP_HOST": "127.0.0.1",
                "QUARKUS_HTTP_PORT": str(http),
                "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
                "QUARKUS_MANAGEMENT_PORT": str(management),
            }
        )

    def _answers(self) -> bool:
        # The log says who listens: another registry that has taken the port would answer as well.
        if f"Listening on: {self._address}" not in self._log_since_start():
            return False
        try:
            return httpx.get(f"{self.url}/subjects", timeout=5, trust_env=False, verify=False).is_success
        except httpx.TransportError:
            return False


class OwnApicurio(Protocol):
    """Starts a registry for one test alone: `own_apicurio(keeps_data=True)`."""

    def __call__(self, *, keeps_data: bool = False) -> ApicurioRegistry:
        """Return the started registry; it is stopped after the test."""
