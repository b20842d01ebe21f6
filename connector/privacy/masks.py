"""Masks: what is left of a value that must not be read, but may be told apart from one that is not there."""

import re
from typing import Final

HIDDEN: Final = "***"
SHOWN_DIGITS: Final = 2
"""So many digits of a number stay: enough to check it with the person on the phone, and one in a hundred has the same."""
_NUMBER: Final = re.compile(r"\+?[0-9 ]{8,}", re.ASCII)


def masked(value: str) -> str:  # noqa: ARG001 - of which nothing is left
    """Return that there is something."""
    return HIDDEN


def masked_phone(value: str) -> str:
    """Return a number's last two digits. Of any other id nothing is left: a wamid holds the number in base64."""
    if not _NUMBER.fullmatch(value):
        return HIDDEN
    return HIDDEN + value.replace(" ", "")[-SHOWN_DIGITS:]


def masked_degrees(value: float) -> float:
    """Return a latitude or longitude to one decimal: 11 km from north to south."""
    return round(value, 1)
