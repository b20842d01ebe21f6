"""The spool: callbacks on this instance's disk while Kafka is away, delivered in the order in which they were accepted.

`shared_flags` is the state that all workers of an instance share in memory. `file` is the SQLite file, and `recovery` checks
it at start. `intake` writes callbacks to it, `drain` delivers them.
"""
