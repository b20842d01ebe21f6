"""The Kafka clients: producing the records of callbacks, reading topics, what their errors mean.

Knows confluent_kafka; knows neither HTTP nor the spool.
"""
