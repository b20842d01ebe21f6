"""Kaleyra WhatsApp callbacks in, typed Avro records on Kafka topics out."""

__version__ = "0.1.0"
