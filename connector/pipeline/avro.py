"""A schema in, a function out that writes one record as Avro binary: straight-line Python, compiled once at start.

fastavro searches the branch of every union for every record; here the schema's shapes are few and known (`mapping` refuses
others), so each field is one test and one append. fastavro is the oracle: a property test compares the bytes.
The encoding is https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from connector.records import Json

_SMALL: Final = [bytes((number << 1,)) for number in range(64)]


def long_bytes(value: int) -> bytes:
    """Return a 64-bit integer in zigzag and variable length."""
    rest = (value << 1) ^ (value >> 63)
    if rest < 0x80:
        return bytes((rest,))
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def text_bytes(value: str) -> bytes:
    """Return a text: its length in bytes, then UTF-8."""
    content = value.encode()
    length = len(content)
    return (_SMALL[length] if length < 64 else long_bytes(length)) + content


def bytes_bytes(value: bytes) -> bytes:
    """Return bytes: their number, then themselves."""
    return long_bytes(len(value)) + value


def decimal_bytes(value: Decimal, scale: int) -> bytes:
    """Return a decimal that fits its scale: the unscaled number, big-endian, two's complement, as short as it goes."""
    unscaled = int(value.scaleb(scale))
    return bytes_bytes(unscaled.to_bytes((unscaled + (unscaled < 0)).bit_length() // 8 + 1, "big", signed=True))


def array_bytes(write: Callable[[Json], bytes], values: list[Json]) -> bytes:
    """Return an array: one block of all elements, then the empty block that ends it."""
    if not values:
        return b"\0"
    return b"".join((long_bytes(len(values)), *map(write, values), b"\0"))


def compile_writer(schema: Json) -> Callable[[Json], bytes]:
    """Compile a record schema that `mapping` has accepted into a function from record to Avro binary."""
    functions: list[str] = []
    _write_function("write", schema, functions)
    namespace: dict[str, Any] = {name: value for name, value in globals().items() if name.endswith("_bytes")}
    namespace["pack_double"] = _pack_double
    exec(compile("\n\n".join(functions), f"<writer of {schema['name']}>", "exec"), namespace)  # noqa: S102 - text made here, from our own schemas
    writer: Callable[[Json], bytes] = namespace["write"]
    return writer


def _pack_double(value: float) -> bytes:
    return struct.pack("<d", value)


def _write_function(name: str, schema: Json, functions: list[str]) -> None:
    lines = ["out = []", "append = out.append"]
    for field in schema["fields"]:
        lines.append(f"v = record[{field['name']!r}]")
        avro = field["type"]
        nullable = isinstance(avro, list)
        if nullable:
            null_first = avro[0] == "null"
            avro = avro[1] if null_first else avro[0]
            null, some = (b"\0", b"\2") if null_first else (b"\2", b"\0")
            lines.append(f"if v is None: append({null!r})")
            lines.append(f"else: append({some!r} + {_expression(avro, functions)})")
        else:
            lines.append(f"append({_expression(avro, functions)})")
    body = "\n    ".join([*lines, "return b''.join(out)"])
    functions.append(f"def {name}(record):\n    {body}")


def _expression(avro: Any, functions: list[str]) -> str:  # noqa: PLR0911 - a table
    match avro:
        case "string":
            return "text_bytes(v)"
        case "boolean":
            return r"(b'\1' if v else b'\0')"
        case "long" | {"type": "long"}:
            return "long_bytes(v)"
        case "double":
            return "pack_double(v)"
        case "bytes":
            return "bytes_bytes(v)"
        case {"type": "bytes", "logicalType": "decimal", "scale": int(scale)}:
            return f"decimal_bytes(v, {scale})"
        case {"type": "array", "items": dict(element)}:
            function = f"write_{element['name']}"
            _write_function(function, element, functions)
            return f"array_bytes({function}, v)"
    raise AssertionError("mapping accepts no other type")
