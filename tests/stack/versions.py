"""What the real stack consists of: one version each, as plain constants.

docker-compose.yml names the same versions; a test compares the two.
"""

KAFKA_VERSION = "4.1.1"
KAFKA_SCALA_VERSION = "2.13"
KAFKA_LOG4J_VERSION = "2.25.3"  # the slf4j binding that Kafka's own distribution adds to its jars
KAFKA_JAVA = 17  # the oldest Java major version that runs it

APICURIO_VERSION = "3.3.3"
APICURIO_JAVA = 21

FLINK_VERSION = "2.3.0"
FLINK_KAFKA_VERSION = "5.0.0-2.2"  # the newest connector: the one for Flink 2.2 also runs on 2.3
FLINK_LOG4J_VERSION = KAFKA_LOG4J_VERSION
FLINK_JAVA = 17

MAVEN_DEPENDENCY_PLUGIN_VERSION = "3.7.1"
