"""The table of connector/metrics.py in, docs/reference/metrics.md out."""

from typing import Any, Final

from prometheus_client import Counter, Gauge

from connector.metrics import Row, table
from connector.refusals import REFUSALS
from supply.reference import markdown
from supply.reference.markdown import code, codes

_LABELS: Final = {
    "status_class": "`2xx`, `4xx` or `5xx`",
    "credential": "name of the credential in the settings; `header`, `url_token` or `anyone` for those without a table",
    "outcome": "`confirmed`, `wrong`, `no_answer`",
    "topic": "name of the topic",
    "error": "librdkafka's name of the error, such as `_MSG_TIMED_OUT`",
    "reason": "of `connector_refused_requests_total`: see below; of `connector_dead_letters_total`: reason of the dead letter, "
    "see the field `reason` of [DeadLetter](topics.md#deadletter)",
    "path": "source path of a field marked *or null* on the page of [topics](topics.md), such as `status.errors[].code`",
    "kind": "of `connector_adjusted_values_total`; see below",
}
"""What values a label has."""

ADJUSTED: Final = {
    "lone_surrogates": "half of a character, which no UTF-8 text can have; it became U+FFFD",
    "contacts_without_profile": "an entry of `contacts` without a profile; it makes no record on `contacts`",
    "contacts_without_key": "an entry of `contacts` without a number or a user id; it makes no record on `contacts`",
    "ambiguous_extra_info": "`extra_info` that belongs to one message, in a callback with several; it is in no record",
    "clamped_times": "an event more than 7 days old or 5 minutes ahead; its record has the time of receipt as timestamp",
}

_INTRODUCTION: Final = """\
# Metrics

{notice}
`GET /metrics` on the management port returns them in Prometheus' text format. An instance shows the sum over its workers. The
counts of a worker that ended are kept; its gauges are dropped. Values are up to a second old. Labels are bounded: none holds a
number, a path of a request or a peer.
"""

_FURTHER: Final = """
A single process (`connector dev`) also shows prometheus-client's own `_created` series: the time at which a counter started.
"""


_REFUSALS: Final = """\
## Reasons of refused requests

Every request that was not answered 200 has one of these reasons: in `connector_refused_requests_total`, in the log line
`request_refused`, and in `connector doctor`. All are shown from the start, at zero. [HTTP answers](http.md) has their statuses.
"""


def page() -> str:
    """Return the whole page."""
    rows = [
        (code(series_of(row)), _kind(row), codes(row.labels), _across_workers(row), row.meaning) for row in table().values()
    ]
    labels = sorted({label for row in table().values() for label in row.labels})
    return "\n".join(
        (
            _INTRODUCTION.format(notice=markdown.notice("make docs", markdown.link("connector/metrics.py"))),
            markdown.table(("metric", "type", "labels", "of an instance", "meaning"), rows) + _FURTHER,
            "## Labels\n",
            markdown.table(("label", "values"), [(code(label), _LABELS[label]) for label in labels]),
            "## Kinds of adjusted values\n",
            markdown.table(("kind", "meaning"), [(code(kind), meaning) for kind, meaning in ADJUSTED.items()]),
            _REFUSALS,
            markdown.table(
                ("reason", "meaning", "if the sender is one of yours"),
                [(code(reason), one.meaning, one.advice) for reason, one in REFUSALS.items()],
            ),
        )
    )


def series_of(row: Row[Any]) -> str:
    """Return the name that a query uses; a histogram has `_bucket`, `_sum` and `_count` after it."""
    return f"{row.name}_total" if row.kind is Counter else row.name


def _kind(row: Row[Any]) -> str:
    if row.kind is Counter:
        return "counter"
    return "gauge" if row.kind is Gauge else "histogram, in seconds"


def _across_workers(row: Row[Any]) -> str:
    if row.kind is Gauge and row.options["multiprocess_mode"] == "livemax":
        return "one value"
    return "sum"
