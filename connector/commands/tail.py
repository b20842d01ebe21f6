"""`connector tail`: decoded records as they arrive."""

from collections.abc import Sequence

from connector.catalogue import Catalogue
from connector.commands import show
from connector.errors import ConfigurationInvalid
from connector.kafka.reader import Reader, Record
from connector.registry.client import RegistryClient
from connector.settings.tables import Settings


def run(
    settings: Settings, catalogue: Catalogue, topics: Sequence[str], *, from_beginning: bool, count: int, as_json: bool
) -> None:
    """Print records until `count` are shown (0: for ever) or Ctrl-C."""
    registry = RegistryClient(settings.registry.url, settings.registry.client)
    reader = Reader({**settings.kafka.client, **settings.kafka.consumer}, registry.schema_text)
    try:
        reader.assign(_full_names(catalogue, settings.topics.prefix, topics), from_beginning=from_beginning)
        left = count or -1
        while left:
            for record in reader.records(0.5):
                print_record(record, as_json=as_json)
                left -= 1
                if not left:
                    break
    finally:
        reader.close()


def print_record(record: Record, *, as_json: bool) -> None:
    """Print one record for people or, as a JSON line, for scripts."""
    if as_json:
        show.as_json(record._asdict())
    else:
        show.record(record.topic, record.key, record.value)


def _full_names(catalogue: Catalogue, prefix: str, topics: Sequence[str]) -> list[str]:
    known = [record_type.topic for record_type in catalogue]
    chosen = [topic if topic in known else prefix + topic for topic in topics] or known
    wrong = [topic for topic in chosen if topic not in known]
    if wrong:
        short = ", ".join(topic.removeprefix(prefix) for topic in known)
        raise ConfigurationInvalid([f"there is no topic {', '.join(wrong)}; there are {short}"])
    return chosen
