"""The contract under management: what a schema must be, how it may change, what was released."""
