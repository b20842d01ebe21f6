"""The settings in, the producer's whole configuration out: the users' properties, then those that the promise needs."""

from connector.settings.tables import ENVELOPE_BYTES, Settings


def producer_properties(settings: Settings) -> dict[str, str | int | float | bool]:
    """Return the producer's whole configuration: the users' part, then what the delivery promise hangs on."""
    return {
        **settings.kafka.client,
        **settings.kafka.producer,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        # Else a broker makes a missing topic when we ask for it, with its own partition count and not compacted.
        "allow.auto.create.topics": False,
        "delivery.timeout.ms": int(settings.kafka.delivery_timeout_seconds * 1000),
        "message.max.bytes": max_message_bytes(settings),
    }


def in_its_table(settings: Settings, problem: str) -> str:
    """Return what is wrong with the producer's property (`kafka: name: ...`) with the table that it stands in."""
    name = problem.removeprefix("kafka: ").partition(": ")[0]
    for table, properties in (("producer", settings.kafka.producer), ("client", settings.kafka.client)):
        if name in properties:
            return problem.replace("kafka: ", f"kafka.{table}: ", 1)
    return problem


def max_message_bytes(settings: Settings) -> int:
    """Return the size of the largest record, in bytes: a whole body and what belongs to it."""
    return settings.http.max_body_bytes + ENVELOPE_BYTES
