"""`connector explain`: what a callback would become, without any server."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import fastavro
import typer

from connector.answers import FOR_META
from connector.auth.authenticate import Credentials
from connector.catalogue import Catalogue
from connector.commands import show
from connector.commands.options import AsJson, Config
from connector.commands.resources import catalogue_without_raw, open_settings
from connector.commands.unmapped import unmapped
from connector.errors import ConfigurationInvalid, NotOpened
from connector.metrics import Metrics
from connector.pipeline.dialects.recognise import is_verification
from connector.pipeline.encode import encoders
from connector.pipeline.flow import Flow
from connector.pipeline.outcome import Outcome
from connector.privacy.policy import Policy
from connector.records import EMPTY, KafkaMessage, RawCallback
from connector.seals import NO_KEYS, Seals
from connector.settings.tables import Settings

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_BYTES: Final = 8 * 1024 * 1024


class _Nowhere:
    """A sink that takes nothing: explaining sends nothing."""

    async def send(self, messages: object) -> Outcome:
        raise NotImplementedError


def explain(catalogue: Catalogue, raw: RawCallback, renamed_keys: Mapping[str, str] = EMPTY) -> dict[str, Any]:
    """Return what a callback becomes: `records`, `dead_letters`, the paths that no schema maps in `unmapped`, and `left_out`.

    `left_out` counts what goes into no record on purpose.
    """
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
    # Record times are clamped to when a callback is received, which is now only here.
    left_out = {what: tally.count for what, tally in metrics.left_out_by.items() if what != "clamped_times"}
    return {
        "records": records,
        "dead_letters": dead_letters,
        "unmapped": unmapped(catalogue, raw, renamed_keys),
        "left_out": left_out,
    }


def posted(body: bytes, content_type: str = _JSON) -> RawCallback:
    """Return the callback that a body is when it is sent by POST."""
    return RawCallback("POST", "", content_type, body, time.time_ns() // 1_000_000)


def got(query: str) -> RawCallback:
    """Return the callback that a query is when it is sent by GET."""
    as_received = query.removeprefix("?").encode().decode("latin-1")
    return RawCallback("GET", as_received, "", b"", time.time_ns() // 1_000_000)


def callback_of(file: Path | None, query: str | None, seals: Seals | None, *, is_form: bool) -> RawCallback:
    """Return the callback that is to be explained: a file with its body, stdin for `-`, or a query; sealed ones are opened.

    Raises:
        ConfigurationInvalid: when it is neither or both, cannot be read, or cannot be opened.
    """
    try:
        return _callback_of(file, query, seals or NO_KEYS, is_form=is_form)
    except NotOpened as not_opened:
        raise ConfigurationInvalid([f"{not_opened}; add that key to privacy.seal_keys"]) from None


def _callback_of(file: Path | None, query: str | None, seals: Seals, *, is_form: bool) -> RawCallback:
    if query is not None and file is None and not is_form:
        return got(seals.open_text(query))
    if query is not None or file is None:
        raise ConfigurationInvalid(
            ["say what to explain: a file with a callback's body (- for stdin, --form if it is a form), or --query 'a=b&c=d'"]
        )
    try:
        body = Path("/dev/stdin").read_bytes() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise ConfigurationInvalid([f"{file}: cannot be read ({error.strerror}); give a file with a callback's body"]) from None
    return posted(seals.open_printed(body), _FORM if is_form else _JSON)


def run(catalogue: Catalogue, raw: RawCallback, loaded: Settings, *, as_json: bool) -> None:
    """Explain a callback."""
    refused = _refused(raw, loaded.http.max_body_bytes)
    if refused:
        told: dict[str, Any] = {"records": [], "dead_letters": [], "unmapped": [], "left_out": {}}
    else:
        told = explain(catalogue, raw, loaded.callbacks.renamed_keys)
    if as_json:
        show.as_json({**told, "refused": refused})
        return
    for record in told["records"]:
        show.record(record["topic"], record["key"], record["value"])
    if told["dead_letters"]:
        rows = [(letter["reason"], letter["step"], letter["detail"]) for letter in told["dead_letters"]]
        show.table("Dead letters", ("reason", "step", "detail"), rows)
    left_out = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in told["left_out"].items() if count)
    if not (told["records"] or told["dead_letters"]):
        reason = refused or (f"left out: {left_out}" if left_out else "there is nothing to make a record of")
        show.line(f"nothing: {reason}")
    elif left_out:
        show.line(f"left out: {left_out}")
    if told["unmapped"]:
        show.table("Keys that no schema maps", ("path",), [(path,) for path in told["unmapped"]])


def _refused(raw: RawCallback, max_body_bytes: int) -> str | None:
    """Return the answer of a callback that would never be read."""
    if len(raw.body) > max_body_bytes:
        return f"413, its body has {len(raw.body)} bytes and http.max_body_bytes is {max_body_bytes}"
    if raw.method == "GET" and is_verification(raw.query):
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
    file: Annotated[Path | None, typer.Argument(help="File with the body of a callback, or - for stdin.")] = None,
    *,
    query: Annotated[str | None, typer.Option(help="Explain a GET with this query, as 'a=b&c=d', instead of a body.")] = None,
    form: Annotated[bool, typer.Option("--form", help="The body is a form.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show which records a callback becomes, without any server."""
    settings = open_settings(config)
    raw = callback_of(file, query, Policy.of(settings.privacy).seals, is_form=form)
    run(catalogue_without_raw(settings), raw, settings, as_json=as_json)
