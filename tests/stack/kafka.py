"""One real Kafka broker, in KRaft mode with its controller in the same process.

In go a folder and server properties; out comes `bootstrap_servers`. Topics are not made by themselves. The listener of the
clients is named CLIENT: `listener.security.protocol.map` makes it one that asks who they are.
"""

import base64
import os
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.stack.artifacts import kafka_jars
from tests.stack.errors import ServerFailed
from tests.stack.java import QUICK_START, find_java
from tests.stack.process import JavaServer
from tests.stack.versions import KAFKA, KAFKA_JAVA, KafkaRelease

_FORMAT_TIMEOUT_SECONDS = 60
# To the console, which is the log file here, but without the three hundred settings that a broker logs at its start:
# they would be all that the end of a short log shows.
_LOGGING = """\
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c{1})%n
rootLogger.level=INFO
rootLogger.appenderRef.console.ref=console
logger.settings.name=org.apache.kafka.common.config.AbstractConfig
logger.settings.level=WARN
"""
_LOGGING_OF_KAFKA_3 = """\
log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %m (%c{1})%n
log4j.logger.org.apache.kafka.common.config.AbstractConfig=WARN
"""


class KafkaBroker(JavaServer):
    """A broker with its data and log in `folder`; `properties` are added to server.properties or replace its own.

    `credentials` are a client's properties that can see the topics of such a broker; `scram_users` are
    known to it from the beginning, with their passwords.
    """

    name = "kafka"
    port_count = 2
    port_taken_message = "Address already in use"
    java_options: Sequence[str] = ("-Xms256m", "-Xmx512m", *QUICK_START)

    def __init__(
        self,
        folder: Path,
        properties: Mapping[str, str | int] | None = None,
        credentials: Mapping[str, str] | None = None,
        scram_users: Mapping[str, str] | None = None,
        release: KafkaRelease = KAFKA,
    ) -> None:
        super().__init__(folder)
        self._release = release
        self._scram = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in (scram_users or {}).items()]
        self._properties = dict(properties or {})
        self._credentials = dict(credentials or {})
        # A UUID in Kafka's spelling; the "A" in front, as it must not start with "-".
        self._cluster_id = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21]
        self.data = self.folder / "data"
        self._settings = self.folder / "server.properties"
        self._logging = self.folder / "log4j.properties"
        self._is_kafka_3 = release.version.startswith("3.")

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, host:port."""
        return f"127.0.0.1:{self._ports[0]}"

    def server_properties(self) -> dict[str, str | int]:
        """Return the broker's settings: one node, quick to start, loopback listeners only."""
        broker, controller = self._ports[:2]
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"CLIENT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{broker}",
            "inter.broker.listener.name": "CLIENT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT",
            "log.dirs": str(self.data),
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            **self._properties,
        }

    def _prepare(self) -> None:
        lines = [f"{key}={value}\n" for key, value in self.server_properties().items()]
        self._settings.write_text("".join(lines), encoding="utf-8")
        self._logging.write_text(_LOGGING_OF_KAFKA_3 if self._is_kafka_3 else _LOGGING, encoding="utf-8")
        if not (self.data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", self._cluster_id, "-c", str(self._settings)]
        users = [word for user in self._scram for word in ("--add-scram", user)]
        command = [*self._java("-Xmx256m", *QUICK_START), *tool, *users]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_SECONDS, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"{self.data} could not be formatted:\n{done.stdout}{done.stderr}")

    def _command(self) -> Sequence[str]:
        option = "log4j.configuration" if self._is_kafka_3 else "log4j2.configurationFile"
        logging = f"-D{option}={self._logging.as_uri()}"
        return [*self._java(*self.java_options, logging), "kafka.Kafka", str(self._settings)]

    def _java(self, *options: str) -> list[str]:
        # Native parts of compression codecs are unpacked here, where they go away with the folder.
        unpacked = f"-Djava.io.tmpdir={self.folder}"
        return [str(find_java(KAFKA_JAVA)), *options, unpacked, "-cp", f"{kafka_jars(self._release)}/*"]

    def _environment(self) -> Mapping[str, str]:
        return os.environ

    def _answers(self) -> bool:
        # A refused connection is found out here: the client would log it and wait before the next try.
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self._ports[0])) != 0:
                return False
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0, **self._credentials})
        try:
            cluster = admin.list_topics(timeout=2)
        except KafkaException:
            return False
        # The id distinguishes it from another broker that has taken the port. A broker lists itself when it takes requests.
        return str(cluster.cluster_id) == self._cluster_id and self.server_properties()["node.id"] in cluster.brokers


class OwnKafka(Protocol):
    """Starts a broker for one test alone: `own_kafka(**{"broker.session.timeout.ms": 3000})`.

    One that asks who its clients are needs `credentials` to know when it is ready.
    """

    def __call__(self, credentials: Mapping[str, str] | None = None, /, **properties: str | int) -> KafkaBroker:
        """Return the started broker; it is stopped after the test."""
