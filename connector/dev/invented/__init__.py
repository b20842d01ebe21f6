"""Invented callbacks of every type and shape, seeded: for `send`, `dev --demo` and load. No value in them is anybody's."""
