"""An in-memory Kafka broker for `connector dev` and tests: librdkafka's mock cluster.

It keeps 5 MB per partition and loses everything with the process. Metadata requests create topics, with four partitions each;
it supports no admin calls.
"""

import logging
from collections.abc import Iterable

from confluent_kafka import Producer

_LOG = logging.getLogger("connector.embedded.broker")
_SECONDS = 5.0


class EmbeddedBroker:
    """A mock cluster with one broker on a free loopback port, for the lifetime of this object."""

    def __init__(self) -> None:
        self._owner = Producer({"bootstrap.servers": "unused:1", "test.mock.num.brokers": 1}, logger=_LOG)
        brokers = self._owner.list_topics(timeout=_SECONDS).brokers.values()
        self.bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topics(self, topics: Iterable[str]) -> None:
        """Create the missing topics."""
        for topic in topics:
            self._owner.list_topics(topic, timeout=_SECONDS)
