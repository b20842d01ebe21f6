"""Replay: `backlog` reads dead letters or raw callbacks, `selection` chooses among them, `replay` delivers them again."""
