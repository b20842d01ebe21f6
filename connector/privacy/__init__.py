"""What becomes of personal data on its way to Kafka, by the classes in the schemas and the settings of `[privacy]`.

Decided at start and compiled into the mapping: where everything is kept, a callback passes nothing of this.
"""
