"""A schema in, a function out: compiles the `source` attributes into straight-line Python that writes Avro.

The function takes the roots of an item's view (`ROOTS`) and returns the record as Avro binary: no path is interpreted per
callback, and no intermediate record is built. `code_writer` generates the code. A path or type unknown to it is an error at
start. Property tests read the output back with fastavro.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from types import CodeType, MappingProxyType
from typing import Any, Final

from connector.errors import ConfigurationInvalid, Misfit, Missing, path_within
from connector.mapping import avro_writer as avro
from connector.mapping import conversions, numbers
from connector.mapping.code_writer import CodeWriter
from connector.records import EMPTY, Json

ROOTS: Final = ("message", "status", "contact", "event", "metadata", "extra", "callback", "key", "fault")
"""The roots of source paths; inside an array's record the element is the root `item`, and the view's roots are there too."""

EACH_ROOTS: Final = ("item", "each")
"""Further roots of record types that are made of the elements of a list: the element, and `number` and `event_id` of it."""

ATTRIBUTES: Final = frozenset({"source", "raw", "pii", "requires", "unfit", "values"})
"""Our own attributes, removed before a schema is registered."""

Treatments = Mapping[str, Callable[[Any], bytes]]
"""Functions by name that write a value in changed form: as Avro binary, without the branch of the union."""
NO_TREATMENTS: Final[Treatments] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, eq=False)
class CompiledSchema:
    """The compiled form of a schema.

    `write(*roots, event_id, unfit)` takes the record's id as Avro binary, and returns the record as Avro binary and the
    event's own time in milliseconds, if it has a usable one; it raises `Misfit`, and adds the paths of values that became
    null because they do not fit to the list `unfit`. `paths` are the source paths in use, `raw_paths` those of them that map
    whole subtrees. `code` is the generated code, `tables` are the tables that it uses.
    """

    name: str
    code: str
    paths: frozenset[str]
    raw_paths: frozenset[str]
    tables: Mapping[str, Any] = dataclasses.field(repr=False)
    treatments: Treatments = dataclasses.field(repr=False)

    @cached_property
    def write(self) -> Callable[..., tuple[bytes, int | None]]:
        """The function that writes a record.

        Python compiles it at the first use: that takes most of the time of reading a catalogue, and commands that write no
        records do not need it.
        """
        namespace: dict[str, Any] = {**vars(conversions), **vars(numbers), **vars(avro), **self.tables}
        namespace |= {"Missing": Missing, "EMPTY": EMPTY, "array": _array, "array_or_none": _array_or_none}
        namespace |= self.treatments
        exec(_bytecode(self.code, self.name), namespace)  # noqa: S102 - code generated here, from our own schemas, names checked
        write: Callable[..., tuple[bytes, int | None]] = namespace["write"]
        return write


@lru_cache(maxsize=64)
def _bytecode(code: str, name: str) -> CodeType:
    """Return the bytecode of generated code. It is immutable, so that catalogues with the same schema share it."""
    return compile(code, f"<mapping of {name}>", "exec")


def compile_schema(schema: Json, treatments: Treatments = NO_TREATMENTS, each: str = "") -> CompiledSchema:
    """Compile one record schema, whose fields can name one of the `treatments`; see `Field`.

    `each` is the path of the list of whose elements the records are made, if they are: then `write` takes `EACH_ROOTS` first.

    Raises:
        ConfigurationInvalid: with every field whose type or source cannot be mapped.
    """
    writer = CodeWriter(schema["name"], ROOTS)
    writer.write_function(schema, EACH_ROOTS if each else (), f"{each}[]" if each else "")
    if writer.problems:
        raise ConfigurationInvalid(writer.problems)
    code = "\n\n".join(writer.functions)
    return CompiledSchema(
        schema["name"], code, frozenset(writer.paths), frozenset(writer.raw_paths), MappingProxyType(writer.tables), treatments
    )


def _array(write: Callable[..., bytes], value: Any, path: str, unfit: list[str], *outer: Json) -> bytes:
    records = []
    for index, element in enumerate(conversions.to_elements(value, path)):
        noted = len(unfit)
        try:
            records.append(write(element, *outer, unfit))
        except Misfit as misfit:
            raise misfit.within(path, index) from None
        if len(unfit) > noted:
            unfit[noted:] = [path_within(one, path, index) for one in unfit[noted:]]
    return avro.array(records)


def _array_or_none(write: Callable[..., bytes], value: Any, path: str, unfit: list[str], *outer: Json) -> bytes | None:
    try:
        return _array(write, value, path, unfit, *outer)
    except Misfit as misfit:
        unfit.append(misfit.path)
        return None


def published(schema: Any) -> Any:
    """Return the schema as registered: without our own attributes, at any depth."""
    if isinstance(schema, dict):
        return {name: published(part) for name, part in schema.items() if name not in ATTRIBUTES}
    if isinstance(schema, list):
        return [published(part) for part in schema]
    return schema
