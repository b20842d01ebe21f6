"""Bytes to ASGI and back: the listener, the protocol and the Starlette applications.

The only place of the serving path that knows Starlette and httptools; knows neither Kafka nor the registry.
"""
