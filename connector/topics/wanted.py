"""What a topic should be: its partitions, its copies and its settings, from the catalogue and the settings.

Pure: numbers and texts in, numbers and texts out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from connector.catalogue import RecordType
from connector.settings.producer import max_message_bytes
from connector.settings.tables import Settings

_DAY_MS: Final = 24 * 3600 * 1000
REPLAYED: Final = ("dead_letters", "raw")
"""What is replayed from its topic, by the source of the record type."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The settings of topics, and what record types add to them. `bootstrap_servers` stands in the commands that mend."""

    partitions: int
    replication_factor: int
    replay_window_ms: int
    max_message_bytes: int
    bootstrap_servers: str

    @classmethod
    def of(cls, settings: Settings) -> "Wanted":
        """Return what the settings want."""
        return cls(
            partitions=settings.topics.partitions,
            replication_factor=settings.topics.replication_factor,
            replay_window_ms=settings.topics.replay_window_days * _DAY_MS,
            max_message_bytes=max_message_bytes(settings),
            bootstrap_servers=str(settings.kafka.client["bootstrap.servers"]),
        )

    def partitions_of(self, record_type: RecordType, keyed: Iterable[int]) -> int:
        """Return how many partitions a new topic gets; `keyed` are the counts of those keyed by wa_id that are there.

        A new topic keyed by wa_id takes theirs, whatever the setting has become: equal counts are what joins need.
        """
        if record_type.keyed_by_wa_id:
            return max(keyed, default=self.partitions)
        return record_type.partitions or self.partitions

    def copies_of(self, record_type: RecordType) -> int:
        """Return how many copies of each partition there should be."""
        return record_type.replication_factor or self.replication_factor

    def config_of(self, record_type: RecordType, copies: int) -> Mapping[str, str]:
        """Return the settings that a topic with so many copies should have."""
        config = dict(record_type.topic_config)
        # An acknowledged record stands on two brokers, where there are two.
        config["min.insync.replicas"] = str(min(int(config.get("min.insync.replicas", "2")), copies))
        if record_type.large:
            config["max.message.bytes"] = str(self.max_message_bytes)
        if record_type.source in REPLAYED and is_less(config.get("retention.ms", "0"), self.replay_window_ms):
            config["retention.ms"] = str(self.replay_window_ms)
        return config


def is_less(text: str, number: int) -> bool:
    """Return whether a setting's number is below another; a negative one means no limit."""
    return text.isdigit() and int(text) < number
