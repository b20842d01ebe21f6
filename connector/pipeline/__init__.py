"""The steps of a callback, pure: `flow` shows them in order, one module for each step.

No I/O and no client library: what it needs from outside are the two protocols in `ports`.
"""
