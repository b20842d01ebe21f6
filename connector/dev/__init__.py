"""Development tools of `connector dev` and `connector send`: an embedded broker and registry, and invented callbacks.

Nothing in the serving path imports it.
"""
