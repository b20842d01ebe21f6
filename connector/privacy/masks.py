"""Masks: a value in, a form out that hides it but differs from null."""

import re
from typing import Final

HIDDEN: Final = "***"
SHOWN_DIGITS: Final = 2
"""Digits of a number that stay: enough to check it with the person on the phone, while one in a hundred has the same."""
_NUMBER: Final = re.compile(r"\+?[0-9 ]{8,}", re.ASCII)


def masked(value: str) -> str:  # noqa: ARG001 - the mask hides all of it
    """Return the mask of any value: it shows only that there was one."""
    return HIDDEN


def masked_phone(value: str) -> str:
    """Return the last two digits of a number; hide any other id completely: a wamid contains the number in base64."""
    if not _NUMBER.fullmatch(value):
        return HIDDEN
    return HIDDEN + value.replace(" ", "")[-SHOWN_DIGITS:]


def masked_degrees(value: float) -> float:
    """Return a latitude or longitude with one decimal: 11 km from north to south."""
    return round(value, 1)
