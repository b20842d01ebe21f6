"""`connector schemas`: the commands for our schemas, assembled by group.py. They use the registry, and never Kafka."""
