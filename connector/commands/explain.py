"""`connector explain`: shows which records a callback becomes, without any server."""

import io
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import fastavro
import typer

from connector.answers import FOR_META
from connector.catalogue import Catalogue
from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.commands.resources import catalogue_without_raw, open_settings
from connector.commands.unmapped import unmapped
from connector.errors import ConfigurationInvalid, NotOpened
from connector.metrics import Metrics
from connector.pipeline.dialects.recognise import is_verification
from connector.pipeline.encode import encoders
from connector.pipeline.translate import Translator
from connector.privacy.policy import Policy
from connector.records import EMPTY, KafkaMessage, RawCallback
from connector.seals import NO_KEYS, Seals
from connector.settings.tables import Settings

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_XML: Final = "application/xml"
_BOUNDARY: Final = re.compile(rb"\s*--([^\r\n]{1,70})\r\n")
"""The first line of a form in parts."""
_BEGINNINGS_OF_XML: Final = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<\0", b"\xfe\xff\0<")
_MAX_BYTES: Final = 8 * 1024 * 1024


def explain(catalogue: Catalogue, raw: RawCallback, renamed_keys: Mapping[str, str] = EMPTY) -> dict[str, Any]:
    """Return what a callback becomes: `records`, `dead_letters`, `unmapped` paths that no schema maps, and `left_out`.

    `left_out` counts what is omitted from the records on purpose.
    """
    ids = {record_type.name: 0 for record_type in catalogue}
    metrics = Metrics()
    by_name = encoders(catalogue, ids, "http://registry", _MAX_BYTES, metrics)
    records, dead_letters, unfit = [], [], 0
    for message in Translator(catalogue, by_name, metrics, renamed_keys).translate(raw):
        value = _decoded(catalogue, message)
        if message.topic == catalogue.dead_letter.topic:
            dead_letters.append({name: value[name] for name in ("reason", "step", "detail")})
        else:
            headers = {name: content.decode() for name, content in message.headers if name != "ce_dataschema"}
            unfit += len(headers["connector_unfit"].split(",")) if "connector_unfit" in headers else 0
            key = message.key.decode() if message.key is not None else None
            records.append({"topic": message.topic, "key": key, "value": value, "headers": headers})
    # Clamped times do not count: they are relative to the time of receipt, which here is now.
    left_out = {kind: tally.count for kind, tally in metrics.adjusted.items() if kind != "clamped_times"}
    left_out["unfit_values"] = unfit
    return {
        "records": records,
        "dead_letters": dead_letters,
        "unmapped": unmapped(catalogue, raw, renamed_keys),
        "left_out": left_out,
    }


def callback_by_post(body: bytes, content_type: str = _JSON) -> RawCallback:
    """Return a body as a callback received by POST."""
    return RawCallback("POST", "", content_type, body, time.time_ns() // 1_000_000)


def callback_by_get(query: str) -> RawCallback:
    """Return a query as a callback received by GET."""
    as_received = query.removeprefix("?").encode().decode("latin-1")
    return RawCallback("GET", as_received, "", b"", time.time_ns() // 1_000_000)


def content_type_of(body: bytes) -> str:
    """Return the content type that a body most likely had: forms in parts and XML show it in their first bytes."""
    if boundary := _BOUNDARY.match(body):
        return f'multipart/form-data; boundary="{boundary[1].decode("latin-1")}"'
    return _XML if body.lstrip().startswith(_BEGINNINGS_OF_XML) else _JSON


def read_callback(
    file: Path | None, query: str | None, seals: Seals | None, *, is_form: bool, content_type: str | None = None
) -> RawCallback:
    """Read the callback to explain: from a file with its body, from stdin for `-`, or from a query; decrypt sealed ones.

    Without a content type, that of the body is recognised.

    Raises:
        ConfigurationInvalid: if neither or both are given, or the callback cannot be read or decrypted.
    """
    try:
        return _read_callback(file, query, seals or NO_KEYS, _FORM if is_form else content_type)
    except NotOpened as not_opened:
        raise ConfigurationInvalid([f"{not_opened}; add that key to privacy.seal_keys"]) from None


def _read_callback(file: Path | None, query: str | None, seals: Seals, content_type: str | None) -> RawCallback:
    if query is not None and file is None and content_type is None:
        return callback_by_get(seals.open_text(query))
    if query is not None or file is None:
        raise ConfigurationInvalid(
            ["nothing to explain: pass a file with a callback's body (- for stdin, --form for forms) or --query 'a=b&c=d'"]
        )
    try:
        body = Path("/dev/stdin").read_bytes() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise ConfigurationInvalid([f"{file}: cannot be read ({error.strerror}); pass a file with a callback's body"]) from None
    body = seals.open_printed(body)
    return callback_by_post(body, content_type_of(body) if content_type is None else content_type)


def run(catalogue: Catalogue, raw: RawCallback, loaded: Settings, *, as_json: bool) -> list[str]:
    """Show what a callback becomes, as tables or JSON; return what `--strict` objects to."""
    refused = _refused(raw, loaded.http.max_body_bytes)
    if refused:
        explained: dict[str, Any] = {"records": [], "dead_letters": [], "unmapped": [], "left_out": {}}
    else:
        explained = explain(catalogue, raw, loaded.callbacks.renamed_keys)
    if as_json:
        show.as_json({**explained, "refused": refused})
        return _objections(explained, refused)
    for record in explained["records"]:
        show.record(record["topic"], record["key"], record["value"])
    if explained["dead_letters"]:
        rows = [(letter["reason"], letter["step"], letter["detail"]) for letter in explained["dead_letters"]]
        show.table("Dead letters", ("reason", "step", "detail"), rows, is_of_callback=True)
    left_out = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in explained["left_out"].items() if count)
    if not (explained["records"] or explained["dead_letters"]):
        reason = refused or (f"left out: {left_out}" if left_out else "the callback contains nothing that becomes a record")
        show.line(f"nothing: {reason}")
    elif left_out:
        show.line(f"left out: {left_out}")
    if explained["unmapped"]:
        show.table("Keys that no schema maps", ("path",), [(path,) for path in explained["unmapped"]], is_of_callback=True)
    return _objections(explained, refused)


def _objections(explained: Mapping[str, Any], refused: str | None) -> list[str]:
    """Return each dead letter, each key that no schema maps, and the refusal of the whole callback, as a message."""
    letters = [
        f"dead letter: {letter['reason']} in {letter['step']}: {letter['detail']}" for letter in explained["dead_letters"]
    ]
    unmapped_keys = [f"no schema maps the key {path}" for path in explained["unmapped"]]
    return [*([f"refused: {refused}"] if refused else []), *letters, *unmapped_keys]


def _refused(raw: RawCallback, max_body_bytes: int) -> str | None:
    """Return the answer to a callback that the bridge would refuse without processing, or None."""
    if len(raw.body) > max_body_bytes:
        return f"413, its body has {len(raw.body)} bytes, and http.max_body_bytes is {max_body_bytes}"
    if raw.method in ("GET", "DELETE") and is_verification(raw.query):
        return f"400, {FOR_META}"
    return None


def _decoded(catalogue: Catalogue, message: KafkaMessage) -> dict[str, Any]:
    record_type = next(record_type for record_type in catalogue if record_type.topic == message.topic)
    record = fastavro.schemaless_reader(io.BytesIO(message.value[5:]), record_type.parsed, None)
    assert isinstance(record, dict)
    return record


app = typer.Typer()


@app.command("explain")
def explain_command(
    file: Annotated[
        Path | None, typer.Argument(help="File with the body of a callback, or - for stdin.", metavar="FILE")
    ] = None,
    *,
    query: Annotated[str | None, typer.Option(help="Explain a GET with this query, as 'a=b&c=d', instead of a body.")] = None,
    form: Annotated[bool, typer.Option("--form", help="The body is a form. The same as --content-type for forms.")] = False,
    content_type: Annotated[
        str | None,
        typer.Option(help="Content-Type of the body, as a dead letter has it. Default: JSON, or as the body shows."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if there is a dead letter or a key that no schema maps.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show which records a callback becomes, without any server."""
    settings = open_settings(config)
    if form and content_type is not None:
        raise ConfigurationInvalid(["--form and --content-type say the same: pass one of them"])
    raw = read_callback(file, query, Policy.of(settings.privacy).seals, is_form=form, content_type=content_type)
    objections = run(catalogue_without_raw(settings), raw, settings, as_json=as_json)
    if strict and objections:
        for objection in objections:
            show.problem(objection)
        raise typer.Exit(1)
