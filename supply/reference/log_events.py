"""The source of the package in, docs/reference/log-events.md out: every event that it logs, found by AST.

Names, levels and fields are those of the calls; `MEANINGS` holds the rest. The tests fail for an event without a meaning.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connector.logs import CLIENT_EVENT, CLIENT_FIELDS
from supply.reference import markdown
from supply.reference.markdown import ROOT, code, codes

PACKAGE: Final = ROOT / "connector"
_METHODS: Final = ("debug", "info", "warning", "error", "critical")
_LOGGERS: Final = ("_log", "_LOG")

MEANINGS: Final = {
    "batch_refused": (
        "Kafka refused a batch for good. Its records are sent again one by one, so that only those that it refuses fail."
    ),
    "callbacks_from_meta": "Callbacks arrive from Meta directly. `advice` says where to point Meta's app.",
    "dead_letter_alarm_cleared": "The share of dead letters fell below half of `dead_letters.alarm_share`.",
    "dead_letter_alarm_raised": (
        "The share of dead letters over the last minute is above `dead_letters.alarm_share`. Nothing is stopped."
    ),
    "dead_letter_refused": ("Kafka refused a dead letter itself. Its callback is answered 503, or parked in the spool."),
    "delivery_unconfirmed": "Kafka did not acknowledge a record. The callback goes to the spool, or is answered 503.",
    "draining": "SIGTERM arrived. `/readyz` is red; callbacks are still accepted for `shutdown.delay_seconds`.",
    "internal_error": "An error in the bridge, at `where`. Its callback is answered 503 or becomes a dead letter.",
    "kafka_away": "The circuit breaker opened: Kafka answers nothing. Callbacks go to the spool, or are answered 503.",
    "kafka_away_at_start": "The bridge starts while Kafka is away. It accepts callbacks into the spool.",
    "kafka_back": "The circuit breaker closed: Kafka answers again.",
    "kafka_client": (
        "A line of librdkafka, the Kafka client: its facility (`FAIL`, `GETPID`, …), the client's name and the text. "
        "It can name brokers and topics, never a secret or the content of a record."
    ),
    "kafka_error": "librdkafka reports an error, such as a broker that it cannot reach. It retries by itself.",
    "kafka_token_failed": "No token for Kafka could be fetched (`kafka.token_provider`). It is tried again.",
    "listening": "The instance listens. The fields are the addresses of both ports and the number of workers.",
    "not_ready": "A worker cannot become ready yet. `reason` says why and what helps; `/readyz` shows the same.",
    "open_files_exhausted": (
        "The worker can open no more files, so the operating system resets new connections. `advice` says what to change."
    ),
    "open_files_limit_low": "The hard limit of open files is below what `http.max_connections` needs (`needed`).",
    "producer_not_replaced": "A producer failed for good and a new one could not be created. The bridge tries again.",
    "producer_replaced": (
        "A new producer took the place of one that failed for good (`reason` fatal_error), or that sent no more records of "
        "`topics` although Kafka serves them (stalled: a topic that was deleted and created again). Callbacks on their way "
        "are answered 503, or go to the spool."
    ),
    "read_failed": "A read from Kafka failed during a replay. The client retries by itself.",
    "ready": "The worker is ready: schema ids, topics and producer are verified.",
    "records_unacknowledged": (
        "The worker stopped before Kafka acknowledged all records or all callbacks had answers. None of these got a 200. "
        "With `records` above 0 the exit code is 1."
    ),
    "request_refused": (
        "A request was not answered 200: `reason`, the `network` of its sender (a /24 of IPv4, a /48 of IPv6) and its "
        "`method`, where they are known. `error` is OpenSSL's word for a failed handshake. At most ten lines a minute have the "
        "same `reason`; [metrics](metrics.md#reasons-of-refused-requests) lists the reasons with what helps."
    ),
    "schema_id_cache_unreadable": "The file in `registry.cache_folder` cannot be used. The ids are looked up at the registry.",
    "schema_id_cache_unwritable": "The ids cannot be stored in `registry.cache_folder`: a start needs the registry.",
    "schema_ids_changed": "The registry has other ids than before. Records under the old ids may be unreadable.",
    "schema_ids_confirmed": "The registry confirmed the ids, after it was away or had other schemas under them.",
    "schema_ids_from_cache": "The registry is away. The worker starts with the ids that it confirmed last, at `confirmed_at`.",
    "schema_ids_not_confirmed": "The registry does not answer the check of the ids. Nothing changes; the check is repeated.",
    "schema_ids_wrong": (
        "The registry has other schemas under our ids. Nothing is produced until it has ours again; callbacks are answered 503."
    ),
    "settings_need_a_restart": "Some settings changed that a reload cannot apply: `settings` names them. Restart the instance.",
    "settings_refused": "The settings read at SIGHUP are wrong: `problems`. The workers keep the settings that they have.",
    "spool_callbacks_parked": (
        "Callbacks of the spool cannot be delivered: `why`. They stay in the file and are tried again at the next start."
    ),
    "spool_damaged": "The spool's file was damaged. It is quarantined, and all that can be read of it is delivered.",
    "spool_delivery_failed": "A callback of the spool was not delivered. It is tried again, and all later ones wait behind it.",
    "spool_drained": "The spool is empty. New callbacks go to Kafka directly.",
    "spool_draining": "The spool is being delivered. New callbacks queue behind it.",
    "spool_failed": (
        "The spool's disk fails or is full: callbacks that need it are answered 503. With `where`, delivery failed and repeats."
    ),
    "spool_locked": "Another instance uses `spool.folder`. This one waits for it, not ready, up to `lock_timeout_seconds`.",
    "spool_undecryptable": "A callback of the spool is sealed with a key that is not in `privacy.seal_keys`. It is parked.",
    "worker_died": "A worker crashed. It is restarted after `restart_in_seconds`, with exponential backoff.",
    "worker_killed": "A worker did not end within its time and was killed.",
    "worker_not_replaced": "The new worker of a reload did not become ready: `reasons`. The old one keeps running.",
    "workers_replaced": "The reload is complete: all workers run with the new settings.",
}

_INTRODUCTION: Final = """\
# Log events

{notice}
Logs go to stderr, a line per event: JSON, or coloured text on a terminal (`logs.format`). Every line has `event`, `level`,
`logger` and `timestamp` (UTC) besides the fields below. No line holds a body, a number, an id of a message, a URL or a secret.
Of a request that is refused, a line has the reason, the method and the network.

Rate-limited events are logged at most once a minute for the same fields; `times` counts the occurrences since the last line.
librdkafka's own lines are the event `kafka_client`, repeated ones at most once a minute; `suppressed` counts the lines dropped
since.
`not_logged` without fields means that a line could not be written to stderr.
"""


@dataclass
class Event:
    """An event as the source logs it: at which levels, with which fields."""

    levels: set[str] = field(default_factory=set)
    fields: list[str] = field(default_factory=list)
    is_rate_limited: bool = False

    def add(self, level: str, names: list[str]) -> None:
        """Add what one call says."""
        self.levels.add(level)
        self.fields += [name for name in names if name not in self.fields]


def page() -> str:
    """Return the whole page."""
    rows = [
        (
            code(name),
            ", ".join(sorted(event.levels)),
            codes(event.fields),
            "yes" if event.is_rate_limited else "",
            MEANINGS[name],
        )
        for name, event in sorted(events().items())
    ]
    notice = markdown.notice("make docs", "the calls in connector/ and the table in supply/reference/log_events.py")
    return "\n".join(
        (
            _INTRODUCTION.format(notice=notice),
            markdown.table(("event", "level", "fields", "rate-limited", "meaning"), rows),
        )
    )


def events(package: Path = PACKAGE) -> dict[str, Event]:
    """Return every event of the package by its name."""
    found: dict[str, Event] = {}
    if package == PACKAGE:
        # librdkafka logs it, not a call of ours.
        found[CLIENT_EVENT] = Event(set(_METHODS), [*CLIENT_FIELDS, "suppressed"])
    for file in sorted(package.rglob("*.py")):
        if file != PACKAGE / "logs.py":
            tree = ast.parse(file.read_text(encoding="utf-8"))
            limited = _rate_limited(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    _read(node, limited, found)
    return found


def _read(call: ast.Call, limited: dict[str, tuple[str, str]], found: dict[str, Event]) -> None:
    """Add what a call logs, if it logs something."""
    match call.func:
        case ast.Name(id="event") | ast.Attribute(value=ast.Name(id="logs"), attr="event"):
            for name in _texts(call.args[0]):
                found.setdefault(name, Event()).add(_level(call, "error"), _fields(call))
        case ast.Attribute(value=ast.Attribute(attr=attribute), attr="event") if attribute in limited:
            name, level = limited[attribute]
            event = found.setdefault(name, Event())
            event.add(level, ["times", *_fields(call)])
            event.is_rate_limited = True
        case ast.Attribute(value=ast.Name(id=logger), attr=level) if logger in _LOGGERS and level in _METHODS:
            for name in _texts(call.args[0]):
                found.setdefault(name, Event()).add(level, _extra(call))


def _rate_limited(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Return the name and level of each `RateLimitedEvent` by the attribute that holds it."""
    limited = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Attribute(attr=attribute)], value=ast.Call(func=ast.Name(id="RateLimitedEvent")) as call
            ):
                (name,) = _texts(call.args[0])
                limited[attribute] = name, _level(call, "warning")
    return limited


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield the text of an argument, or the two that it chooses from."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=other):
            yield from _texts(body)
            yield from _texts(other)
        case _:
            raise ValueError(f"line {node.lineno}: the name of an event is not a literal")


def _level(call: ast.Call, default: str) -> str:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "level"] or call.args[1:2]
    return next(_texts(given[0])) if given else default


def _fields(call: ast.Call) -> list[str]:
    return [keyword.arg for keyword in call.keywords if keyword.arg and keyword.arg not in ("level", "seconds")]


def _extra(call: ast.Call) -> list[str]:
    """Return the fields that a call of a logger gives as `extra`."""
    return [
        key.value
        for keyword in call.keywords
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict)
        for key in keyword.value.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    ]
