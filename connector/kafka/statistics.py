"""librdkafka's statistics in, as JSON; what the bridge reads of them out: producer id, connections, and known leaders.

The names are librdkafka's own (STATISTICS.md of librdkafka).
"""

from typing import Final

import msgspec


class _ProducerId(msgspec.Struct):
    idemp_state: str = ""


class _Broker(msgspec.Struct):
    """A connection; `nodeid` is -1 for an address of bootstrap.servers, `nodename` is host:port."""

    nodeid: int
    state: str
    nodename: str = ""

    @property
    def is_up(self) -> bool:
        return self.state == "UP"


class _Partition(msgspec.Struct):
    leader: int = -1


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition] = {}


class Statistics(msgspec.Struct):
    """One statistics event of a producer."""

    brokers: dict[str, _Broker] = {}
    topics: dict[str, _Topic] = {}
    eos: _ProducerId = msgspec.field(default_factory=_ProducerId)

    @property
    def has_producer_id(self) -> bool:
        """Whether Kafka has assigned the producer id that idempotence needs."""
        return self.eos.idemp_state == "Assigned"

    @property
    def brokers_up(self) -> int:
        """How many connections can take requests."""
        return sum(broker.is_up for broker in self.brokers.values())

    def is_up(self, broker_id: int) -> bool:
        """Return whether the connection to a broker's advertised address can take requests."""
        return any(broker.nodeid == broker_id and broker.is_up for broker in self.brokers.values())

    def advertised(self) -> dict[int, str]:
        """Return the addresses that brokers advertise, by broker id; empty until a bootstrap address has answered."""
        return {broker.nodeid: broker.nodename for broker in self.brokers.values() if broker.nodeid >= 0}

    def advertised_down(self) -> list[str]:
        """Return the advertised addresses to which a connection was tried and cannot take requests."""
        tried = [broker for broker in self.brokers.values() if broker.nodeid >= 0 and broker.state != "INIT"]
        return [broker.nodename for broker in tried if not broker.is_up]

    def leader(self, topic: str, number: int) -> int | None:
        """Return the id of the broker that the client sends a partition's records to; -1: to none. None: it sent none yet."""
        found = self.topics.get(topic)
        partition = found.partitions.get(str(number)) if found else None
        return partition.leader if partition else None


read_statistics: Final = msgspec.json.Decoder(Statistics).decode
"""JSON text to `Statistics`; raises msgspec.DecodeError for anything else."""
