"""The spool: callbacks on this instance's disk while Kafka is away, delivered in the order in which they were accepted.

`shared` is what the workers of an instance know at a glance, `file` the SQLite file and how it is opened, mended or refused,
`kept` the way in, `drain` the way out.
"""
