"""The catalogue and the settings in, what each topic should be out: its partitions, replicas and settings. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from connector.catalogue import RecordType
from connector.settings.producer import max_message_bytes
from connector.settings.tables import Settings

_DAY_MS: Final = 24 * 3600 * 1000
REPLAYED: Final = ("dead_letters", "raw")
"""Sources of the record types whose topics can be replayed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The settings of topics, and what record types add to them. `bootstrap_servers` is for the commands in the advice."""

    partitions: int
    replication_factor: int
    replay_window_ms: int
    max_message_bytes: int
    bootstrap_servers: str

    @classmethod
    def of(cls, settings: Settings) -> "Wanted":
        """Return what the settings require."""
        return cls(
            partitions=settings.topics.partitions,
            replication_factor=settings.topics.replication_factor,
            replay_window_ms=settings.topics.replay_window_days * _DAY_MS,
            max_message_bytes=max_message_bytes(settings),
            bootstrap_servers=str(settings.kafka.client["bootstrap.servers"]),
        )

    def partitions_of(self, record_type: RecordType, keyed: Iterable[int]) -> int:
        """Return how many partitions a new topic gets; `keyed` are the counts of the existing topics keyed by wa_id.

        A new topic keyed by wa_id gets their count, even if the setting has changed: joins need equal counts.
        """
        if record_type.keyed_by_wa_id:
            return max(keyed, default=self.partitions)
        return record_type.partitions or self.partitions

    def replicas_of(self, record_type: RecordType) -> int:
        """Return how many replicas each partition should have."""
        return record_type.replication_factor or self.replication_factor

    def config_of(self, record_type: RecordType, replicas: int) -> Mapping[str, str]:
        """Return the settings that a topic with this many replicas should have."""
        config = dict(record_type.topic_config)
        # An acknowledged record is on two brokers, if there are two.
        config["min.insync.replicas"] = str(min(int(config.get("min.insync.replicas", "2")), replicas))
        if record_type.large:
            config["max.message.bytes"] = str(self.max_message_bytes)
        if record_type.source in REPLAYED and is_less(config.get("retention.ms", "0"), self.replay_window_ms):
            config["retention.ms"] = str(self.replay_window_ms)
        return config


def is_less(text: str, number: int) -> bool:
    """Return whether a setting's number is below another; a negative setting means no limit."""
    return text.isdigit() and int(text) < number
