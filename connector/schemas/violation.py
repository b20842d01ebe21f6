"""A violation of a rule for schemas, as `connector schemas check` reports it."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Rule = Literal[
    # The file itself, and the catalogue's errors about it.
    "json",
    "avro",
    "catalogue",
    # House rules.
    "doc",
    "namespace",
    "record name",
    "field name",
    "optional",
    "required",
    "no enum",
    "event",
    "common block",
    "pii",
    # Against released or registered versions.
    "full transitive",
    "field stays",
    "record type stays",
    "type stays",
    "logical type stays",
    "decimal stays",
    "name stays",
]


class Violation(NamedTuple):
    """`schema` is the file, `path` the field in it (empty: the record, or the file), `against` the version compared with.

    `fault` is the error, `advice` what to do about it; neither ends with a full stop.
    """

    schema: str
    path: str
    rule: Rule
    fault: str
    advice: str
    against: str = ""

    def __str__(self) -> str:
        place = f"{self.schema}, {self.path}" if self.path else self.schema
        compared = f" (against {self.against})" if self.against else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{place}: {self.rule}: {self.fault}{compared}{advice}"


def merged(violations: Iterable[Violation]) -> list[Violation]:
    """Merge violations that differ only in `against`."""
    found: dict[Violation, list[str]] = {}
    for violation in violations:
        against = found.setdefault(violation._replace(against=""), [])
        if violation.against not in against:
            against.append(violation.against)
    return [violation._replace(against=", ".join(filter(None, against))) for violation, against in found.items()]
