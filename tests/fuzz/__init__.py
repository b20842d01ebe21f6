"""Mutations of the callbacks that clients send, processed in full, and accounted for.

    python -m tests.fuzz [--seconds 60] [--seed N]     make fuzz FUZZ_SECONDS=600
    python -m tests.fuzz --seed N --case M             one of them again

Never an exception, never another answer than 200 (400 for Meta's verification), never `internal_error`; what comes in goes
out as a record, as a dead letter, or is counted as left out. A case is made of its seed and number alone.
"""
