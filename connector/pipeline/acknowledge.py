"""The outcome of a callback in, its HTTP answer out."""

from connector.answers import ACKNOWLEDGED, NOT_CONFIRMED, TOPIC_UNAVAILABLE
from connector.pipeline.outcome import OPERATORS_FAULTS, Outcome
from connector.records import Answer


def acknowledge(outcome: Outcome) -> Answer:
    """Return 200 if every record is safe, else 503. Refused records must have become dead letters before."""
    if any(failure.error in OPERATORS_FAULTS for failure in outcome.unconfirmed):
        return TOPIC_UNAVAILABLE
    return NOT_CONFIRMED if outcome.unconfirmed or outcome.refused else ACKNOWLEDGED
