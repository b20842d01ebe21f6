"""A schema in, a function out: compiles the `source` attributes into straight-line Python that writes Avro.

The function takes the roots of an item's view (`ROOTS`) and returns the record as Avro binary: no path is interpreted per
callback, and no intermediate record is built. Navigation shared by several fields is done once, and the common case of every
field is one inline test; `conversions` handles all other cases. A path or type unknown to this module is an error at start.
Property tests read the output back with fastavro.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from types import CodeType, MappingProxyType
from typing import Any, Final

from connector.errors import ConfigurationInvalid, Misfit, Missing
from connector.mapping import avro_writer as avro
from connector.mapping import conversions
from connector.mapping.field import Field, read_field
from connector.records import EMPTY, Json

ROOTS: Final = ("message", "status", "contact", "event", "metadata", "extra", "callback", "key", "fault")
"""The roots of source paths; inside an array's record the only root is `item`, the element."""

ATTRIBUTES: Final = frozenset({"source", "raw", "pii", "requires", "unfit"})
"""Our own attributes, removed before a schema is registered."""


_TEXT: Final = "(TEXT[size] + b if (size := len(b := v.encode())) < TABLE_SIZE else text(b))"
_SOME_TEXT: Final = "(SOME_TEXT[size] + b if (size := len(b := v.encode())) < TABLE_SIZE else some_text(b))"
"""Code that writes a text, with its length from a table. In the second table, an empty text is null."""

Treatments = Mapping[str, Callable[[Any], bytes]]
"""Functions by name that write a value in changed form: as Avro binary, without the branch of the union."""
NO_TREATMENTS: Final[Treatments] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, eq=False)
class CompiledSchema:
    """The compiled form of a schema.

    `code` is the generated code. `paths` are the source paths in use, `raw_paths` those of them that map whole subtrees.
    """

    name: str
    code: str
    paths: frozenset[str]
    raw_paths: frozenset[str]
    treatments: Treatments = dataclasses.field(repr=False)

    @cached_property
    def write(self) -> Callable[..., tuple[bytes, int | None]]:
        """The function `write(*roots, unfit)`, which returns the record as Avro binary and its event time, if it has one.

        The time is in milliseconds. The function raises `Misfit`, and adds the paths of times that do not fit to the list
        `unfit`. Python compiles it at the first use: that takes most of the time of reading a catalogue, and commands that
        write no records do not need it.
        """
        namespace: dict[str, Any] = {**vars(conversions), **vars(avro), "Missing": Missing, "EMPTY": EMPTY, "array": _array}
        namespace |= self.treatments
        exec(_bytecode(self.code, self.name), namespace)  # noqa: S102 - code generated here, from our own schemas, names checked
        write: Callable[..., tuple[bytes, int | None]] = namespace["write"]
        return write


@lru_cache(maxsize=64)
def _bytecode(code: str, name: str) -> CodeType:
    """Return the bytecode of generated code. It is immutable, so that catalogues with the same schema share it."""
    return compile(code, f"<mapping of {name}>", "exec")


def compile_schema(schema: Json, treatments: Treatments = NO_TREATMENTS) -> CompiledSchema:
    """Compile one record schema, whose fields can name one of the `treatments`; see `Field`.

    Raises:
        ConfigurationInvalid: with every field whose type or source cannot be mapped.
    """
    problems: list[str] = []
    writer = _CodeWriter(schema["name"], problems)
    writer.function("write", schema, ROOTS)
    if problems:
        raise ConfigurationInvalid(problems)
    code = "\n\n".join(writer.functions)
    return CompiledSchema(schema["name"], code, frozenset(writer.paths), frozenset(writer.raw_paths), treatments)


def _array(write: Callable[..., bytes], elements: list[Json], path: str, unfit: list[str]) -> bytes:
    records = []
    for index, element in enumerate(elements):
        try:
            records.append(write(element, unfit))
        except Misfit as misfit:
            raise misfit.within(path, index) from None
    return avro.array(records)


class _CodeWriter:
    """Generates the functions of one schema: `write`, and one per record inside an array.

    In the code, `n…` are objects of the view, `v` is the current value, `f…` are the bytes of the fields and `t…` their times.
    """

    def __init__(self, schema_name: str, problems: list[str]) -> None:
        self.functions: list[str] = []
        self.paths: set[str] = set()
        self.raw_paths: set[str] = set()
        self._schema_name = schema_name
        self._problems = problems

    def function(self, name: str, schema: Json, roots: tuple[str, ...], prefix: str = "") -> None:
        """Generate one function; `prefix` is the path of the array that contains its records."""
        nodes = {root: root for root in roots}
        lines: list[str] = []
        for required in schema.get("requires", ()):
            # A list of paths: at least one of them must exist.
            paths = [required] if isinstance(required, str) else required
            if wrong := [f"{path!r} {fault}" for path in paths if (fault := _path_fault(path, roots))]:
                self._problems.append(f"{self._schema_name}.avsc: requires {wrong[0]}")
                continue
            absent = " and ".join(f"{self._object(path, nodes, lines)} is EMPTY" for path in paths)
            lines.append(f"if {absent}: raise Missing({' or '.join(paths)!r})")
        fields = list(self._fields(schema, roots))
        for first, last in _runs(fields, roots):
            lines += self._run(range(first, last), fields, nodes, prefix)
        result = f"join(({' '.join(f'f{index},' for index in range(len(fields)))}))"
        if not prefix:
            result += f", {next((f't{index}' for index, field in enumerate(fields) if field.unfit_null), None)}"
        body = "\n    ".join([*lines, f"return {result}"])
        self.functions.append(f"def {name}({', '.join((*roots, 'unfit'))}):\n    {body}")

    def _fields(self, schema: Json, roots: tuple[str, ...]) -> Iterator[Field]:
        for field in schema["fields"]:
            where = f"{self._schema_name}.avsc, field {field['name']}"
            sources = tuple(given) if isinstance(given := field.get("source", []), list) else (given,)
            for path in sources:
                if fault := _path_fault(path, roots):
                    self._problems.append(f"{where}: source {path!r} {fault}")
                    break
            else:
                try:
                    yield read_field(field, sources)
                except ConfigurationInvalid as invalid:
                    self._problems.extend(f"{where}: {problem}" for problem in invalid.problems)

    def _object(self, path: str, nodes: dict[str, str], lines: list[str]) -> str:
        """Add the lines that load the object at `path` into a variable, once; return the variable."""
        if path not in nodes:
            parent, _, leaf = path.rpartition(".")
            parent_node = self._object(parent, nodes, lines)
            node = f"n{len(nodes)}"
            lines.append(f"{node} = {parent_node}.get({leaf!r}, EMPTY)")
            lines.append(f"if {node}.__class__ is not dict: {node} = as_object({node}, {path!r})")
            nodes[path] = node
        return nodes[path]

    def _run(self, indexes: range, fields: list[Field], nodes: dict[str, str], prefix: str) -> list[str]:
        """Generate adjacent fields; fields of one object are skipped together if it is absent."""
        lines: list[str] = []
        written: list[str] = []
        for index in indexes:
            # The objects on the path are loaded unconditionally, so that later fields can share them.
            for path in fields[index].sources:
                if "." in path:
                    self._object(path.rpartition(".")[0], nodes, lines)
            written += self._field(index, fields[index], nodes, prefix)
        if len(indexes) == 1:
            return lines + written
        node = nodes[fields[indexes[0]].parent]
        # A null and an empty array are the same byte.
        absent = f"{' = '.join(f'f{index}' for index in indexes)} = NULL"
        times = "".join(f"; t{index} = None" for index in indexes if fields[index].unfit_null)
        return [*lines, f"if {node} is EMPTY: {absent}{times}", "else:", *(f"    {line}" for line in written)]

    def _field(self, index: int, field: Field, nodes: dict[str, str], prefix: str) -> list[str]:
        if field.treatment == "drop":
            # The value is never read, but the path counts as mapped.
            for path in field.sources:
                self._note(prefix, path, raw=field.raw or field.kind == "array")
            return [f"f{index} = NULL", *([f"t{index} = None"] if field.unfit_null else [])]
        is_plain = field.kind == "text" and not field.raw and not field.treatment and len(field.sources) == 1
        lines = [] if field.sources else ["v = None"]
        for position, path in enumerate(field.sources):
            self._note(prefix, path, raw=field.raw)
            parent, _, leaf = path.rpartition(".")
            value = f"{nodes[parent]}.get({leaf!r})" if parent else path
            if position:
                lines.append("if v is None:")
            indent = "    " * bool(position)
            lines.append(f"{indent}v = {value}")
            if not is_plain:
                lines += [f"{indent}{line}" for line in self._conversion(field, path, prefix)]
        if field.unfit_null:
            lines.append(f"t{index} = v")
        return [*lines, *(self._plain_text(f"f{index}", field) if is_plain else self._bytes(f"f{index}", field))]

    def _conversion(self, field: Field, path: str, prefix: str) -> list[str]:
        """Generate the conversion of the value to its type; None means no value."""
        convert = f"to_{field.kind}(v, {path!r}{''.join(f', {argument}' for argument in field.arguments)})"
        if field.raw:
            convert = f"to_json(v, {path!r})"
        elif field.kind == "text":
            return [f"if v is not None and (v.__class__ is not str or not v): v = {convert}"]
        elif field.kind == "millis" and field.unfit_null:
            convert = f"to_millis_or_none(v, {path!r}, unfit)"
        elif field.kind == "array":
            assert field.element is not None
            function = f"write_{field.element['name']}"
            self.function(function, field.element, ("item",), f"{prefix}{path.removeprefix('item')}[]")
            convert = f"array({function}, to_elements(v, {path!r}), {path!r}, unfit)"
        return [f"if v is not None: v = {convert}"]

    def _bytes(self, variable: str, field: Field) -> list[str]:
        """Generate the encoding of the value."""
        if field.kind == "array":
            return [f"{variable} = NULL if v is None else v"]
        written = f"{field.kind}(v{''.join(f', {argument}' for argument in field.arguments[1:])})"
        some = f"SOME + {written}"
        if field.treatment:
            written, some = f"{field.treatment}(v)", f"SOME + {field.treatment}(v)"
        elif field.kind == "text":
            written, some = _TEXT, _SOME_TEXT
        if field.required:
            return [f"if v is None: raise Missing({' or '.join(field.sources)!r})", f"{variable} = {written}"]
        return [f"{variable} = NULL if v is None else {some}"]

    def _plain_text(self, variable: str, field: Field) -> list[str]:
        """Generate the common case of the most common field: a text from one path, unchanged."""
        (path,) = field.sources
        if field.required:
            return [
                f"if v.__class__ is not str: v = None if v is None else to_text(v, {path!r})",
                f"if not v: raise Missing({path!r})",
                f"{variable} = {_TEXT}",
            ]
        odd = f"some_text(to_text(v, {path!r}).encode())"
        return [f"{variable} = NULL if v is None else {_SOME_TEXT} if v.__class__ is str else {odd}"]

    def _note(self, prefix: str, path: str, *, raw: bool) -> None:
        full_path = f"{prefix}{path.removeprefix('item')}" if prefix else path
        self.paths.add(full_path)
        if raw:
            self.raw_paths.add(full_path)


def _runs(fields: list[Field], roots: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of optional fields of one inner object; any other field is a separate run."""
    first = 0
    while first < len(fields):
        parent = fields[first].parent
        last = first + 1
        if parent and parent not in roots and not fields[first].required:
            while last < len(fields) and fields[last].parent == parent and not fields[last].required:
                last += 1
        yield first, last
        first = last


def _path_fault(path: Any, roots: tuple[str, ...]) -> str:
    parts = path.split(".") if isinstance(path, str) else [""]
    if not all(part.isidentifier() for part in parts):
        return "is not a path: write names joined by dots"
    return "" if parts[0] in roots else f"must start with one of {', '.join(roots)}"


def published(schema: Any) -> Any:
    """Return the schema as registered: without our own attributes, at any depth."""
    if isinstance(schema, dict):
        return {name: published(part) for name, part in schema.items() if name not in ATTRIBUTES}
    if isinstance(schema, list):
        return [published(part) for part in schema]
    return schema
