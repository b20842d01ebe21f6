"""A reader that keeps a ledger of every record of the bridge's topics, since the beginning."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from tests.faults.scenarios.invented import MARK
from tests.faults.scenarios.ledger import Found
from tests.support.servers import Addresses, ReadRecord, TopicsReader

_GENERATION: Final = 10**9


class Reader:
    """Reads on when asked. `prefix` of the topics is left out of their names."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._prefix = addresses.prefix
        self._readers = [TopicsReader(addresses, [record_type.topic for record_type in addresses.catalogue()])]
        self._ledger: list[Found] = []
        self._offset_of_topic: dict[str, int] = {}
        """Added to the offsets of topics that were created again, so that later records have greater ones."""

    def of_fault(self, fault: int) -> list[Found]:
        """Read to the end of all topics; return the records of one fault's callbacks."""
        self._read()
        return [record for record in self._ledger if record.mark.startswith(f"mark-{fault}-")]

    @contextmanager
    def created_again(self, topic: str) -> Iterator[None]:
        """Read a topic to its end, let the block delete it and create it again, and read the new one from its beginning."""
        self._read()
        for reader in self._readers:
            reader.leave(topic)
        yield
        self._offset_of_topic[topic] = self._offset_of_topic.get(topic, 0) + _GENERATION
        self._readers.append(TopicsReader(self._addresses, [topic]))

    def close(self) -> None:
        """Leave."""
        for reader in self._readers:
            reader.close()

    def _read(self) -> None:
        self._ledger += [self._found(record) for reader in self._readers for record in reader.rest()]

    def _found(self, record: ReadRecord) -> Found:
        return Found(
            topic=record.topic.removeprefix(self._prefix),
            partition=record.partition,
            offset=record.offset + self._offset_of_topic.get(record.topic, 0),
            key=None if record.key is None else record.key.decode(),
            mark=_mark_in(record.value),
            ce_id=record.header("ce_id"),
            content=repr({name: value for name, value in record.value.items() if name != "received_at"}),
            received_at=round(record.value["received_at"].timestamp() * 1000),
        )


def _mark_in(value: Mapping[str, Any]) -> str:
    marks = set(MARK.findall(repr(value)))
    assert len(marks) == 1, f"a record with {len(marks)} marks: {value}"
    (mark,) = marks
    return str(mark)
