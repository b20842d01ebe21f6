"""The schema registry: its client, the ids of our schemas, and their cache on disk.

Nothing here runs per callback. It knows neither HTTP nor Kafka's producer.
"""
