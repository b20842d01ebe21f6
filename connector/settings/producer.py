"""The settings in, the producer's configuration out: the user's properties, then those that the delivery guarantee needs."""

from connector.settings.tables import ENVELOPE_BYTES, Settings


def producer_properties(settings: Settings) -> dict[str, str | int | float | bool]:
    """Return the producer's configuration: the user's properties, then the reserved ones."""
    return {
        **settings.kafka.client,
        **settings.kafka.producer,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        # Otherwise a metadata request makes the broker create a missing topic, with its default partitions and not compacted.
        "allow.auto.create.topics": False,
        "delivery.timeout.ms": int(settings.kafka.delivery_timeout_seconds * 1000),
        "message.max.bytes": max_message_bytes(settings),
    }


def in_its_table(settings: Settings, problem: str) -> str:
    """Return a problem of a producer property (`kafka: name: ...`) with the settings table that contains the property."""
    name = problem.removeprefix("kafka: ").partition(": ")[0]
    for table, properties in (("producer", settings.kafka.producer), ("client", settings.kafka.client)):
        if name in properties:
            return problem.replace("kafka: ", f"kafka.{table}: ", 1)
    return problem


def max_message_bytes(settings: Settings) -> int:
    """Return the size of the largest record, in bytes: a body of the largest size, headers and other fields."""
    return settings.http.max_body_bytes + ENVELOPE_BYTES
