"""Who may call, and how often: credentials, signed tokens, the caller's address, token buckets.

Pure: a raw request in, a credential's name or nothing out. Imports no I/O and no step of the pipeline.
"""
