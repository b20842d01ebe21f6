"""How many examples a property is tried with: all of them in CI, a third before a commit."""

import os


def examples(count: int) -> int:
    """Return `count` in CI, else a third of it: drawing them takes long."""
    return count if "CI" in os.environ else count // 3
