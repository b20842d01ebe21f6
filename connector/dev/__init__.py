"""What `connector dev` and `connector send` start and invent: an embedded broker and registry, and callbacks.

Nothing that serves imports it.
"""
