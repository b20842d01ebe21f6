"""A schema in, the Python code that fills and writes its records out; `compiler` compiles it.

Navigation shared by several fields is done once, equal values are converted once, and the common case of every field is one
inline test; `conversions` and `numbers` handle all other cases. In the code, `n…` are objects of the view, `v` is the current
value, `s…` are values that later fields share, `f…` are the bytes of the fields, and `t` is the event's own time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from connector.errors import ConfigurationInvalid
from connector.mapping import avro_writer as avro
from connector.mapping.field import EVENT_ID, Field, by_text, id_fault, path_fault, read_field, runs
from connector.records import Json

_TEXT: Final = "(TEXT[size] + b if (size := len(b := v.encode())) < TABLE_SIZE else text(b))"
_SOME_TEXT: Final = "(SOME_TEXT[size] + b if (size := len(b := v.encode())) < TABLE_SIZE else some_text(b))"
"""Code that writes a text, with its length from a table. In the second table, an empty text is null."""

_MOST_ADDED: Final = 4
"""More pieces than these are joined, not added, which would copy the first ones again and again."""

_Signature = tuple[tuple[str, ...], str, bool]
"""Fields with the same sources, conversion and `unfit` have the same value."""


class CodeWriter:
    """Generates the functions of one schema: `write`, and one for each record inside an array.

    `tables` are what the code names beside them, `problems` what cannot be mapped.
    """

    def __init__(self, schema_name: str, roots: tuple[str, ...]) -> None:
        self.functions: list[str] = []
        self.tables: dict[str, Any] = {}
        self.paths: set[str] = set()
        self.raw_paths: set[str] = set()
        self.problems: list[str] = []
        self._schema_name = schema_name
        self._roots = roots

    def write_function(self, schema: Json, further_roots: tuple[str, ...], item_path: str) -> None:
        """Generate `write`; `further_roots` and `item_path` are for records that are made of the elements of a list."""
        roots = (*further_roots, *self._roots)
        scope = _Scope(self, schema, roots, item_path)
        lines = scope.lines
        time = "t" if any(field.fallback for field in scope.fields) else "None"
        lines.append(f"return {scope.joined()}, {time}")
        self._add("write", (*roots, EVENT_ID, "unfit"), lines)

    def element_function(self, schema: Json, item_path: str) -> tuple[str, tuple[str, ...]]:
        """Generate the function of an array's record; return its name, and the roots that it takes beside the element."""
        name = f"write_{schema['name']}"
        scope = _Scope(self, schema, ("item", *self._roots), item_path)
        outer = tuple(root for root in self._roots if root in scope.used_roots)
        self._add(name, ("item", *outer, "unfit"), [*scope.lines, f"return {scope.joined()}"])
        return name, outer

    def fields_of(self, schema: Json, roots: tuple[str, ...]) -> Iterator[Field]:
        """Yield the fields of a record; a field that cannot be mapped is a problem."""
        for field in schema["fields"]:
            where = f"{self._schema_name}.avsc, field {field['name']}"
            sources = tuple(given) if isinstance(given := field.get("source", []), list) else (given,)
            if fault := next((f"source {path!r} {fault}" for path in sources if (fault := path_fault(path, roots))), ""):
                self.problems.append(f"{where}: {fault}")
                continue
            try:
                yield read_field(field, sources)
            except ConfigurationInvalid as invalid:
                self.problems.extend(f"{where}: {problem}" for problem in invalid.problems)

    def requirements_of(self, schema: Json, roots: tuple[str, ...]) -> Iterator[list[str]]:
        """Yield the objects that a record requires: at least one of each list."""
        for required in schema.get("requires", ()):
            paths = [required] if isinstance(required, str) else required
            if wrong := [f"{path!r} {fault}" for path in paths if (fault := path_fault(path, roots) or id_fault(path))]:
                self.problems.append(f"{self._schema_name}.avsc: requires {wrong[0]}")
                continue
            yield paths

    def note(self, path: str, *, raw: bool) -> None:
        """Remember a source path in use, relative to the view."""
        self.paths.add(path)
        if raw:
            self.raw_paths.add(path)

    def table(self, content: Mapping[Any, Any]) -> str:
        """Return the name under which the code finds a table."""
        name = f"VALUES_{len(self.tables)}"
        self.tables[name] = content
        return name

    def _add(self, name: str, arguments: tuple[str, ...], lines: list[str]) -> None:
        body = "\n    ".join(lines)
        self.functions.append(f"def {name}({', '.join(arguments)}):\n    {body}")


class _Scope:
    """The body of one function: the lines that fill the fields of one record."""

    def __init__(self, writer: CodeWriter, schema: Json, roots: tuple[str, ...], item_path: str) -> None:
        self._writer = writer
        self._item_path = item_path
        self._nodes = {root: root for root in roots}
        self._shared: dict[_Signature, str] = {}
        self.fields = list(writer.fields_of(schema, roots))
        self.used_roots = {path.partition(".")[0] for field in self.fields for path in (*field.sources, field.fallback)}
        self.lines: list[str] = []
        required = list(writer.requirements_of(schema, roots))
        # An object may be no object only if all of its fields may be null.
        strict = [path for field in self.fields if not field.unfit_null for path in field.sources]
        strict += [f"{path}." for paths in required for path in paths]
        self._strict = {path[:end] for path in strict for end, letter in enumerate(path) if letter == "."}
        self._shares = Counter(signature for field in self.fields for signature in _signatures(field))
        for paths in required:
            absent = " and ".join(f"{self._object(path)} is EMPTY" for path in paths)
            self.lines.append(f"if {absent}: raise Missing({' or '.join(paths)!r})")
        self._pieces = []
        for first, last in runs(self.fields, roots):
            self._pieces.append(f"f{first},")
            self._run(range(first, last))

    def joined(self) -> str:
        """Return the code that joins the bytes of all fields; those of a run are one piece."""
        return f"join(({' '.join(self._pieces)}))"

    def _object(self, path: str) -> str:
        """Add the lines that load the object at `path` into a variable, once; return the variable."""
        if path not in self._nodes:
            parent, _, leaf = path.rpartition(".")
            parent_node = self._object(parent)
            node = f"n{len(self._nodes)}"
            as_object = f"as_object_or_empty({node}, {path!r}, unfit)"
            if path in self._strict:
                as_object = f"as_object({node}, {path!r})"
            self.lines.append(f"{node} = {parent_node}.get({leaf!r}, EMPTY)")
            self.lines.append(f"if {node}.__class__ is not dict: {node} = {as_object}")
            self._nodes[path] = node
        return self._nodes[path]

    def _run(self, indexes: range) -> None:
        """Generate adjacent fields; fields of one object are skipped together if it is absent."""
        for index in indexes:
            # The objects on the path are loaded unconditionally, so that later fields can share them.
            for path in (*self.fields[index].sources, self.fields[index].fallback):
                if "." in path:
                    self._object(path.rpartition(".")[0])
        if len(indexes) == 1:
            self.lines += self._field(indexes[0], self.fields[indexes[0]], can_share=True)
            return
        written = [line for index in indexes for line in self._field(index, self.fields[index], can_share=False)]
        node = self._nodes[self.fields[indexes[0]].parent]
        pieces = [f"f{index}" for index in indexes]
        together = " + ".join(pieces) if len(pieces) <= _MOST_ADDED else f"join(({', '.join(pieces)}))"
        self.lines += [
            # A null and an empty array are the same byte.
            f"if {node} is EMPTY: {pieces[0]} = {bytes(len(pieces))!r}",
            "else:",
            *(f"    {line}" for line in written),
            f"    {pieces[0]} = {together}",
        ]

    def _field(self, index: int, field: Field, *, can_share: bool) -> list[str]:
        variable = f"f{index}"
        for path in field.sources:
            self._note(path, raw=field.raw or (field.kind == "array" and field.treatment == "drop"))
        if field.treatment == "drop" or field.sources == (EVENT_ID,):
            # What is dropped is never read, but the path counts as mapped.
            return [f"{variable} = {'NULL' if field.treatment else EVENT_ID}"]
        if field.fallback:
            return self._time(variable, field)
        shared = self._shared.get(_signatures(field)[0], "") if can_share and not field.treatment else ""
        if shared and field.kind != "text" and (field.values or field.kind == "millis"):
            return [f"{variable} = {self._of_shared(field, shared)}"]
        shares = can_share and self._shares[_signatures(field)[0]] > 1
        if field.kind == "text" and len(field.sources) == 1 and not (shares or field.raw or field.treatment or field.values):
            return self._plain_text(variable, field)
        lines = self._value(field, can_share=can_share)
        return [*lines, *self._bytes(variable, field)]

    def _of_shared(self, field: Field, shared: str) -> str:
        """Generate the bytes of a value that an earlier field has; it has found that it is not missing, if it must not be."""
        if field.values:
            return f"{self._values(field)}.get({shared}, NULL)"
        return f"{'' if field.required else f'NULL if {shared} is None else SOME + '}millis({shared})"

    def _time(self, variable: str, field: Field) -> list[str]:
        """Generate the record's time: the event's own if it is usable, else the fallback."""
        self._note(field.fallback, raw=False)
        received = field._replace(sources=(field.fallback,), fallback="")
        # A time that is dropped is not the record's time either.
        dropped = {path for other in self.fields if other.treatment == "drop" for path in other.sources}
        own = field._replace(sources=tuple(path for path in field.sources if path not in dropped), fallback="", unfit_null=True)
        lines = [
            *self._value(received, can_share=False),
            f"if v is None: raise Missing({field.fallback!r})",
            "r = v",
            *self._value(own, can_share=False),
            "t = v",
            f"{variable} = millis(r if t is None or t > r + AHEAD_MS else t)",
        ]
        self._shared |= {_signatures(received)[0]: "r", _signatures(own)[0]: "t"}
        return lines

    def _value(self, field: Field, *, can_share: bool) -> list[str]:
        """Generate the value of a field, converted; None means no value."""
        (signature,) = _signatures(field)
        if can_share and signature in self._shared:
            return [f"v = {self._shared[signature]}"]
        lines = [] if field.sources else ["v = None"]
        for position, path in enumerate(field.sources):
            parent, _, leaf = path.rpartition(".")
            value = f"{self._nodes[parent]}.get({leaf!r})" if parent else path
            if position:
                lines.append("if v is None:")
            indent = "    " * bool(position)
            lines += [f"{indent}v = {value}", f"{indent}{self._conversion(field, path)}"]
        if can_share and self._shares[signature] > 1:
            self._shared[signature] = f"s{len(self._shared)}"
            lines.append(f"{self._shared[signature]} = v")
        return lines

    def _conversion(self, field: Field, path: str) -> str:
        """Generate the conversion of the value to its type."""
        arguments = "".join(f", {argument}" for argument in field.arguments)
        convert = f"{field.convert}(v, {path!r}{arguments})"
        if field.kind == "array":
            assert field.element is not None
            function, outer = self._writer.element_function(field.element, f"{self._full(path)}[]")
            self.used_roots.update(outer)
            array = "array_or_none" if field.unfit_null else "array"
            convert = f"{array}({function}, v, {path!r}, unfit{''.join(f', {root}' for root in outer)})"
        elif field.unfit_null:
            convert = f"or_none({field.convert}, v, {path!r}, unfit{arguments})"
            if field.convert == "to_millis":
                convert = f"to_millis_or_none(v, {path!r}, unfit)"
        if field.convert == "to_text":
            return f"if v is not None and (v.__class__ is not str or not v): v = {convert}"
        if field.convert == "to_boolean":
            return f"if v is not None and v.__class__ is not bool: v = {convert}"
        return f"if v is not None: v = {convert}"

    def _bytes(self, variable: str, field: Field) -> list[str]:
        """Generate the encoding of the value."""
        if field.kind == "array":
            return [f"{variable} = NULL if v is None else v"]
        if field.values and field.kind != "text":
            return [f"{variable} = {self._values(field)}.get(v, NULL)"]
        lines = [f"v = {self._writer.table(by_text(field.values))}.get(v, v)"] if field.values else []
        written = f"{field.kind}(v{''.join(f', {argument}' for argument in field.arguments[1:])})"
        some = f"SOME + {written}"
        if field.treatment:
            written, some = f"{field.treatment}(v)", f"SOME + {field.treatment}(v)"
        elif field.kind == "text":
            written, some = _TEXT, _SOME_TEXT
        if field.required:
            return [*lines, f"if v is None: raise Missing({' or '.join(field.sources)!r})", f"{variable} = {written}"]
        return [*lines, f"{variable} = NULL if v is None else {some}"]

    def _values(self, field: Field) -> str:
        """Return the name of the table from texts to encoded values."""
        encode = getattr(avro, field.kind)
        return self._writer.table(by_text({text: avro.SOME + encode(value) for text, value in field.values.items()}))

    def _plain_text(self, variable: str, field: Field) -> list[str]:
        """Generate the common case of the most common field: a text from one path, unchanged."""
        (path,) = field.sources
        parent, _, leaf = path.rpartition(".")
        load = f"v = {self._nodes[parent]}.get({leaf!r})" if parent else f"v = {path}"
        if field.required:
            return [
                load,
                f"if v.__class__ is not str: v = None if v is None else to_text(v, {path!r})",
                f"if not v: raise Missing({path!r})",
                f"{variable} = {_TEXT}",
            ]
        odd = f"or_none(to_text, v, {path!r}, unfit)" if field.unfit_null else f"to_text(v, {path!r})"
        return [load, f"{variable} = NULL if v is None else {_SOME_TEXT} if v.__class__ is str else text_or_null({odd})"]

    def _note(self, path: str, *, raw: bool) -> None:
        self._writer.note(self._full(path), raw=raw)

    def _full(self, path: str) -> str:
        """Return a path relative to the view: those of an element begin with its list."""
        return f"{self._item_path}{path.removeprefix('item')}" if path.partition(".")[0] == "item" else path


def _signatures(field: Field) -> list[_Signature]:
    """Return what is converted for a field; the record's time has two values."""
    if field.fallback:
        return [((field.fallback,), field.convert, False), (field.sources, field.convert, True)]
    return [(field.sources, field.convert, field.unfit_null)]
