"""`connector topics`: the catalogue's topics against the broker."""

from connector.catalogue import Catalogue
from connector.commands import show
from connector.errors import OtherSideFailed
from connector.settings import Settings, max_message_bytes
from connector.topics import Topics


def check(settings: Settings, catalogue: Catalogue, *, as_json: bool) -> None:
    """Show each topic's state.

    Raises:
        OtherSideFailed: when one is missing or wrong.
    """
    findings = _topics(settings, catalogue).check()
    if as_json:
        show.as_json([finding._asdict() for finding in findings])
    else:
        show.table("Topics", ("topic", "partitions", "state", "what to do"), [tuple(finding) for finding in findings])
    wrong = [finding.topic for finding in findings if finding.state in ("missing", "error")]
    if wrong:
        raise OtherSideFailed(f"{len(wrong)} topics are missing or wrong")


def create(settings: Settings, catalogue: Catalogue, *, dry_run: bool, as_json: bool) -> None:
    """Make the topics that are missing, and say what was done."""
    topics = _topics(settings, catalogue)
    existing = topics.partitions()
    missing = {record_type.topic for record_type in catalogue if record_type.topic not in existing}
    if not dry_run:
        topics.create(settings.topics.partitions, settings.topics.replication_factor)
    done = "would be made" if dry_run else "made"
    rows = []
    for record_type in catalogue:
        partitions = existing.get(record_type.topic, settings.topics.partitions)
        config = ", ".join(f"{name}={value}" for name, value in topics.wanted_config(record_type).items())
        rows.append((record_type.topic, partitions, done if record_type.topic in missing else "unchanged", config))
    if as_json:
        names = ("topic", "partitions", "state", "config")
        show.as_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        show.table("Topics", ("topic", "partitions", "state", "config"), rows)


def _topics(settings: Settings, catalogue: Catalogue) -> Topics:
    return Topics(dict(settings.kafka.client), catalogue, max_message_bytes(settings))
