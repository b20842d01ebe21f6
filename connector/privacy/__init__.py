"""The classes in the schemas and the settings of `[privacy]` in, the treatment of personal data on its way to Kafka out.

Decided at start and compiled into the mapping: if everything is kept, no callback executes any of this.
"""
