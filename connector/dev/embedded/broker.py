"""An Apache Kafka stand-in in memory: librdkafka's own mock cluster, for `connector dev` and tests.

It keeps 5 MB a partition and forgets everything with the process. Topics come to be by asking for them, with four
partitions each; it knows no admin calls.
"""

import logging
from collections.abc import Iterable

from confluent_kafka import Producer

_LOG = logging.getLogger("connector.embedded.broker")
_SECONDS = 5.0


class EmbeddedBroker:
    """A mock cluster of one broker on a free loopback port; it lives as long as this object."""

    def __init__(self) -> None:
        self._owner = Producer({"bootstrap.servers": "unused:1", "test.mock.num.brokers": 1}, logger=_LOG)
        brokers = self._owner.list_topics(timeout=_SECONDS).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topics(self, topics: Iterable[str]) -> None:
        """Make topics that are not there yet."""
        for topic in topics:
            self._owner.list_topics(topic, timeout=_SECONDS)
