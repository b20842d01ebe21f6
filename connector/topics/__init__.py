"""The topics: what the catalogue wants of them, what the broker has, and how the two deviate.

Nothing here runs while the bridge serves: topics are a deployment step.
"""
