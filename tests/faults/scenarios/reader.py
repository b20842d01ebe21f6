"""A reader that keeps a ledger of every record of the bridge's topics, since the beginning."""

from collections.abc import Mapping
from typing import Any

from tests.faults.scenarios.invented import MARK
from tests.faults.scenarios.ledger import Found
from tests.support.servers import Addresses, ReadRecord, TopicsReader


class Reader:
    """Reads on when asked. `prefix` of the topics is left out of their names."""

    def __init__(self, addresses: Addresses) -> None:
        self._prefix = addresses.prefix
        self._reader = TopicsReader(addresses, [record_type.topic for record_type in addresses.catalogue()])
        self._ledger: list[Found] = []

    def of_fault(self, fault: int) -> list[Found]:
        """Read to the end of all topics; return the records of one fault's callbacks."""
        self._ledger += [self._found(record) for record in self._reader.rest()]
        return [record for record in self._ledger if record.mark.startswith(f"mark-{fault}-")]

    def close(self) -> None:
        """Leave."""
        self._reader.close()

    def _found(self, record: ReadRecord) -> Found:
        return Found(
            topic=record.topic.removeprefix(self._prefix),
            partition=record.partition,
            offset=record.offset,
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
