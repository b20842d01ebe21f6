"""A schema in, a function out: the `source` attributes compiled once into straight-line Python.

The function takes the roots of an item's view (`ROOTS`) and returns the record as a dict, ready for Avro. No path is
interpreted per callback: navigation shared by several fields is done once, and the common case of every field is one
inline test. Everything odd is left to `conversions`. A path or type that this module does not know is a start error.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from connector.errors import ConfigurationInvalid, Misfit, Missing
from connector.pipeline import conversions
from connector.records import EMPTY, Json

ROOTS: Final = ("message", "status", "contact", "event", "metadata", "extra", "callback", "key", "fault")
"""What a source path may start with; inside an array's record it is `item`, the element."""

ATTRIBUTES: Final = frozenset({"source", "raw", "pii", "requires", "unfit"})
"""Our own attributes, taken out before a schema is registered."""


class Mapping(NamedTuple):
    """A compiled schema.

    `fill(*roots, unfit)` returns the record; it raises `Misfit`, and adds the paths of times that did not fit to the
    list `unfit`. `event_time` names the field that holds the event's own time, if there is one. `paths` are the source
    paths in use, `raw_paths` those of them that take whole subtrees. `code` is the generated text.
    """

    fill: Callable[..., Json]
    event_time: str | None
    paths: frozenset[str]
    raw_paths: frozenset[str]
    code: str


class Field(NamedTuple):
    """One field of a schema, its attributes read."""

    name: str
    kind: str
    arguments: tuple[int, ...]
    required: bool
    sources: tuple[str, ...]
    raw: bool
    unfit_null: bool
    element: Json | None


def compile_schema(schema: Json) -> Mapping:
    """Compile one record schema.

    Raises:
        ConfigurationInvalid: with every field whose type or source cannot be mapped.
    """
    problems: list[str] = []
    writer = _Writer(schema["name"], problems)
    writer.function("fill", schema, ROOTS)
    if problems:
        raise ConfigurationInvalid(problems)
    code = "\n\n".join(writer.functions)
    namespace: dict[str, Any] = {**vars(conversions), "Missing": Missing, "EMPTY": EMPTY, "each": _each}
    exec(compile(code, f"<mapping of {schema['name']}>", "exec"), namespace)  # noqa: S102 - text made here, from our own schemas, names checked
    times = [field["name"] for field in schema["fields"] if field.get("unfit") == "null"]
    return Mapping(
        fill=namespace["fill"],
        event_time=times[0] if times else None,
        paths=frozenset(writer.paths),
        raw_paths=frozenset(writer.raw_paths),
        code=code,
    )


def _each(fill: Callable[..., Json], elements: list[Json], path: str, unfit: list[str]) -> list[Json]:
    records = []
    for index, element in enumerate(elements):
        try:
            records.append(fill(element, unfit))
        except Misfit as misfit:
            raise misfit.within(path, index) from None
    return records


class _Writer:
    """Writes the functions of one schema: `fill`, and one per record inside an array."""

    def __init__(self, schema_name: str, problems: list[str]) -> None:
        self.functions: list[str] = []
        self.paths: set[str] = set()
        self.raw_paths: set[str] = set()
        self._schema_name = schema_name
        self._problems = problems

    def function(self, name: str, schema: Json, roots: tuple[str, ...], prefix: str = "") -> None:
        """Write one function; `prefix` is the path of the array that its records stand in."""
        nodes = {root: root for root in roots}
        lines: list[str] = []
        for path in schema.get("requires", ()):
            if not _is_path(path, roots):
                self._problems.append(f"{self._schema_name}.avsc: requires {path!r} must start with one of {', '.join(roots)}")
                continue
            node = self._object(path, nodes, lines)
            lines.append(f"if {node} is EMPTY: raise Missing({path!r})")
        values = []
        for index, field in enumerate(self._fields(schema, roots)):
            lines += self._field_lines(f"v{index}", field, nodes, prefix)
            values.append(f"{field.name!r}: v{index}")
        body = "\n    ".join([*lines, f"return {{{', '.join(values)}}}"])
        self.functions.append(f"def {name}({', '.join((*roots, 'unfit'))}):\n    {body}")

    def _fields(self, schema: Json, roots: tuple[str, ...]) -> Iterator[Field]:
        for field in schema["fields"]:
            where = f"{self._schema_name}.avsc, field {field['name']}"
            sources = field.get("source", [])
            sources = (sources,) if isinstance(sources, str) else tuple(sources)
            for path in sources:
                if not _is_path(path, roots):
                    self._problems.append(f"{where}: source {path!r} must start with one of {', '.join(roots)}")
                    break
            else:
                try:
                    yield _read_field(field, sources)
                except ConfigurationInvalid as invalid:
                    self._problems.extend(f"{where}: {problem}" for problem in invalid.problems)

    def _object(self, path: str, nodes: dict[str, str], lines: list[str]) -> str:
        """Write what brings the object at `path` into a variable, once; return the variable."""
        if path not in nodes:
            parent, _, leaf = path.rpartition(".")
            parent_node = self._object(parent, nodes, lines)
            node = f"n{len(nodes)}"
            lines.append(f"{node} = {parent_node}.get({leaf!r}, EMPTY)")
            lines.append(f"if {node}.__class__ is not dict: {node} = as_object({node}, {path!r})")
            nodes[path] = node
        return nodes[path]

    def _field_lines(self, variable: str, field: Field, nodes: dict[str, str], prefix: str) -> list[str]:
        lines = [] if field.sources else [f"{variable} = None"]
        for position, path in enumerate(field.sources):
            self._note(prefix, path, raw=field.raw)
            parent, _, leaf = path.rpartition(".")
            # The objects on the way are brought in unconditionally, so that later fields can share them.
            taken = f"{self._object(parent, nodes, lines)}.get({leaf!r})" if parent else path
            indent = "    " * bool(position)
            if position:
                lines.append(f"if {variable} is None:")
            lines.append(f"{indent}{variable} = {taken}")
            lines += [f"{indent}{line}" for line in self._conversion(variable, field, path, prefix)]
        if field.kind == "array":
            lines.append(f"if {variable} is None: {variable} = []")
        if field.required and field.kind != "array":
            lines.append(f"if {variable} is None: raise Missing({' or '.join(field.sources)!r})")
        return lines

    def _conversion(self, variable: str, field: Field, path: str, prefix: str) -> list[str]:
        if field.raw:
            return [f"if {variable} is not None: {variable} = to_json({variable}, {path!r})"]
        match field.kind:
            case "text":
                return [
                    f"if {variable}.__class__ is not str:",
                    f"    if {variable} is not None: {variable} = to_text({variable}, {path!r})",
                    f"elif not {variable}: {variable} = None",
                ]
            case "array":
                assert field.element is not None
                function = f"fill_{field.element['name']}"
                self.function(function, field.element, ("item",), f"{prefix}{path.removeprefix('item')}[]")
                return [
                    f"if {variable} is not None:",
                    f"    {variable} = each({function}, to_elements({variable}, {path!r}), {path!r}, unfit)",
                ]
            case "millis" if field.unfit_null:
                return [f"if {variable} is not None: {variable} = to_millis_or_none({variable}, {path!r}, unfit)"]
        arguments = "".join(f", {argument}" for argument in field.arguments)
        return [f"if {variable} is not None: {variable} = to_{field.kind}({variable}, {path!r}{arguments})"]

    def _note(self, prefix: str, path: str, *, raw: bool) -> None:
        whole = f"{prefix}{path.removeprefix('item')}" if prefix else path
        self.paths.add(whole)
        if raw:
            self.raw_paths.add(whole)


def _is_path(path: str, roots: tuple[str, ...]) -> bool:
    parts = path.split(".")
    return parts[0] in roots and all(part.isidentifier() for part in parts)


_KINDS: Final = {"string": "text", "boolean": "boolean", "long": "long", "double": "double", "bytes": "bytes"}


def _read_field(field: Json, sources: tuple[str, ...]) -> Field:
    """Read a field's type and attributes.

    Raises:
        ConfigurationInvalid: when the type is none that a value of the wire can become.
    """
    kind = ""
    arguments: tuple[int, ...] = ()
    element = None
    required = not isinstance(field["type"], list)
    branches = [field["type"]] if required else [branch for branch in field["type"] if branch != "null"]
    avro = branches[0] if len(branches) == 1 else None
    match avro:
        case str() if avro in _KINDS:
            kind = _KINDS[avro]
        case {"type": "long", "logicalType": "timestamp-millis"}:
            kind = "millis"
        case {"type": "bytes", "logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            kind, arguments = "decimal", (precision, scale)
        case {"type": "array", "items": {"type": "record"} as element}:
            kind = "array"
        case _:
            raise ConfigurationInvalid(
                [
                    (
                        "its type cannot be filled; known are string, boolean, long, double, bytes, timestamp-millis, "
                        'decimal, an array of records, and ["null", one of them]'
                    )
                ]
            )
    if field.get("raw") and kind != "text":
        raise ConfigurationInvalid(["raw needs the type string"])
    if required and not sources and kind != "array":
        raise ConfigurationInvalid(["a required field needs a source"])
    return Field(
        name=field["name"],
        kind=kind,
        arguments=arguments,
        required=required,
        sources=sources,
        raw=bool(field.get("raw")),
        unfit_null=field.get("unfit") == "null",
        element=element,
    )


def published(schema: Any) -> Any:
    """Return the schema as it is registered: without our own attributes, at any depth."""
    if isinstance(schema, dict):
        return {name: published(part) for name, part in schema.items() if name not in ATTRIBUTES}
    if isinstance(schema, list):
        return [published(part) for part in schema]
    return schema
