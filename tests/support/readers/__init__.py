"""Third-party readers of the topics, as separate programs: their dependencies are fetched once, outside the tree."""
