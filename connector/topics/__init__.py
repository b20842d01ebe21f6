"""The topics: what the catalogue requires, what the broker has, and how the two differ.

Nothing here runs while the bridge serves: topics are a deployment step.
"""
