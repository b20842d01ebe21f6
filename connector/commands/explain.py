"""`connector explain`: what a callback would become, without any server."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastavro

from connector.catalogue import Catalogue
from connector.commands import show
from connector.errors import ConfigurationInvalid, NotDecodable
from connector.metrics import Metrics
from connector.pipeline.authenticate import Credentials
from connector.pipeline.decode import decode
from connector.pipeline.encode import encoders
from connector.pipeline.flow import Flow
from connector.pipeline.produce import Outcome
from connector.pipeline.split import split
from connector.records import EMPTY, Item, KafkaMessage, RawCallback

_MAX_BYTES = 8 * 1024 * 1024


class _Nowhere:
    """A sink that takes nothing: explaining sends nothing."""

    async def send(self, messages: object) -> Outcome:
        raise NotImplementedError


def explain(catalogue: Catalogue, body: bytes, renamed_keys: Mapping[str, str] = EMPTY) -> dict[str, Any]:
    """Return what a body becomes: `records`, `dead_letters`, and the paths that no schema maps in `unmapped`."""
    raw = RawCallback("POST", "", "application/json", body, time.time_ns() // 1_000_000)
    ids = {record_type.name: 0 for record_type in catalogue}
    metrics = Metrics()
    by_name = encoders(catalogue, ids, "http://registry", _MAX_BYTES, metrics)
    flow = Flow(catalogue, by_name, Credentials(allow_anyone=True), _Nowhere(), metrics, renamed_keys)
    records, dead_letters = [], []
    for message in flow.messages_of(raw):
        value = _decoded(catalogue, message)
        if message.topic == catalogue.dead_letter.topic:
            dead_letters.append({name: value[name] for name in ("reason", "step", "detail")})
        else:
            headers = {name: content.decode() for name, content in message.headers if name != "ce_dataschema"}
            key = message.key.decode() if message.key is not None else None
            records.append({"topic": message.topic, "key": key, "value": value, "headers": headers})
    return {"records": records, "dead_letters": dead_letters, "unmapped": _unmapped(catalogue, raw, renamed_keys)}


def run(catalogue: Catalogue, file: Path, renamed_keys: Mapping[str, str], *, as_json: bool) -> None:
    """Explain a file, or stdin for `-`."""
    try:
        body = Path("/dev/stdin").read_bytes() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise ConfigurationInvalid([f"{file}: cannot be read ({error.strerror}); give a file with a callback's body"]) from None
    told = explain(catalogue, body, renamed_keys)
    if as_json:
        show.as_json(told)
        return
    for record in told["records"]:
        show.record(record["topic"], record["key"], record["value"])
    if told["dead_letters"]:
        rows = [(letter["reason"], letter["step"], letter["detail"]) for letter in told["dead_letters"]]
        show.table("Dead letters", ("reason", "step", "detail"), rows)
    if told["unmapped"]:
        show.table("Keys that no schema maps", ("path",), [(path,) for path in told["unmapped"]])


def _decoded(catalogue: Catalogue, message: KafkaMessage) -> dict[str, Any]:
    record_type = next(record_type for record_type in catalogue if record_type.topic == message.topic)
    record = fastavro.schemaless_reader(io.BytesIO(message.value[5:]), record_type.parsed, None)
    assert isinstance(record, dict)
    return record


def _unmapped(catalogue: Catalogue, raw: RawCallback, renamed_keys: Mapping[str, str]) -> list[str]:
    """Return the paths of a callback that no source path of its records takes."""
    try:
        callback = decode(raw, renamed_keys)
    except NotDecodable:
        return []
    mapped: set[str] = set()
    raw_paths: set[str] = set()
    present: set[str] = set()
    for item in split(callback, raw).items:
        mapping = catalogue.of(item.source, item.message_type).mapping
        mapped |= mapping.paths
        raw_paths |= mapping.raw_paths
        present |= _leaves(item)
    # One object where a list is meant is taken too.
    plain = {path.replace("[]", "") for path in mapped}
    return sorted(path for path in present if path.replace("[]", "") not in plain and not _is_within(path, raw_paths))


def _is_within(path: str, roots: set[str]) -> bool:
    return any(path == root or path.startswith((f"{root}.", f"{root}[")) for root in roots)


def _leaves(item: Item) -> set[str]:
    named = ("message", "status", "contact", "event", "metadata", "extra")
    roots = {name: getattr(item, name) for name in named}
    found: set[str] = set()
    pending: list[tuple[str, Any]] = [(name, value) for name, value in roots.items() if value is not EMPTY]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{path}.{name}", part) for name, part in value.items()]
        elif isinstance(value, list):
            pending += [(f"{path}[]", part) for part in value]
        elif value not in (None, ""):
            found.add(path)
    return found
