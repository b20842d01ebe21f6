"""Authentication and rate limits: credentials, signed tokens, the client's address, token buckets.

A raw request in, the name of a credential or None out. Pure; imports no I/O and no step of the pipeline.
"""
