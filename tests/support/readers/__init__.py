"""Readers of the topics that are not ours, in programs of their own: what they need is fetched once, outside the tree."""
