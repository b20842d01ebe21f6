"""The Kafka clients: they produce the records of callbacks, read topics, and explain errors.

Knows confluent_kafka, but neither HTTP nor the spool.
"""
