"""`connector schemas`: the commands on our schemas; group.py assembles them. They ask the registry, and never Kafka."""
