"""Invented callbacks of every type and shape, seeded: for `send`, `dev --demo` and load tests. No value is of a real person."""
