"""What the real stack consists of: one version each, as plain constants, and further releases of Kafka for one test.

docker-compose.yml names the same versions; a test compares the two.
"""

from typing import Final, NamedTuple

KAFKA_VERSION = "4.1.1"
KAFKA_SCALA_VERSION = "2.13"
KAFKA_LOG4J_VERSION = "2.25.3"  # the slf4j binding that Kafka's own distribution adds to its jars
KAFKA_RELOAD4J_VERSION = "1.7.36"  # the same for Kafka 3
KAFKA_JAVA = 17  # the oldest Java major version that runs it

APICURIO_VERSION = "3.3.3"
APICURIO_JAVA = 21

FLINK_VERSION = "2.3.0"
FLINK_KAFKA_VERSION = "5.0.0-2.2"  # the newest connector: the one for Flink 2.2 also runs on 2.3
FLINK_LOG4J_VERSION = KAFKA_LOG4J_VERSION
FLINK_JAVA = 17

MAVEN_DEPENDENCY_PLUGIN_VERSION = "3.7.1"


class KafkaRelease(NamedTuple):
    """A release of Kafka, and the binding of slf4j that writes its log."""

    version: str
    binding: str
    binding_version: str


KAFKA: Final = KafkaRelease(KAFKA_VERSION, "org.apache.logging.log4j:log4j-slf4j-impl", KAFKA_LOG4J_VERSION)
OTHER_KAFKAS: Final = (
    KafkaRelease("3.9.1", "org.slf4j:slf4j-reload4j", KAFKA_RELOAD4J_VERSION),
    KafkaRelease("4.4.0", "org.apache.logging.log4j:log4j-slf4j-impl", KAFKA_LOG4J_VERSION),
)
"""The oldest and the newest that docs/how-to/kafka.md says the bridge works with (tests/integration/test_kafka_releases.py)."""
