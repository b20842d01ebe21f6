"""The outcomes of a callback become an HTTP answer."""

import pytest

from connector import answers
from connector.pipeline.acknowledge import acknowledge
from connector.pipeline.outcome import OPERATORS_FAULTS, Failure, Outcome
from connector.records import Answer
from tests.support.callbacks import envelope, message, messages_of

(RECORD,) = messages_of(envelope([message()]))
REFUSED = Failure(RECORD, "MSG_SIZE_TOO_LARGE", for_good=True)
UNCONFIRMED = Failure(RECORD, "_MSG_TIMED_OUT", for_good=False)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome([], []), 200),
        (Outcome([], [UNCONFIRMED]), 503),
        (Outcome([REFUSED], []), 503),
        (Outcome([REFUSED], [UNCONFIRMED]), 503),
    ],
)
def test_callback_is_acknowledged_only_if_every_record_is_safe(outcome: Outcome, status: int) -> None:
    assert acknowledge(outcome).status == status


@pytest.mark.parametrize("error", sorted(OPERATORS_FAULTS))
def test_topic_that_needs_an_operator_has_its_own_reason(error: str) -> None:
    missing = Failure(RECORD, error, for_good=False)

    assert acknowledge(Outcome([], [UNCONFIRMED, missing])).refusal == "topic_unavailable"
    assert acknowledge(Outcome([], [UNCONFIRMED])).refusal == "not_confirmed"
    assert acknowledge(Outcome([REFUSED], [])).refusal == "not_confirmed"


@pytest.mark.parametrize(
    ("answer", "status", "header"),
    [
        (answers.ACKNOWLEDGED, 200, None),
        (answers.NOT_AUTHENTIC, 401, b"www-authenticate"),
        (answers.WRONG_METHOD, 405, b"allow"),
        (answers.NOT_FOR_META, 400, b"content-type"),
        (answers.TOO_LARGE, 413, b"connection"),
        (answers.TARGET_TOO_LONG, 414, b"connection"),
        (answers.NOT_CONFIRMED, 503, b"retry-after"),
        (answers.NO_ROOM, 503, b"retry-after"),
        (answers.NOT_READY, 503, b"retry-after"),
        (answers.TOPIC_UNAVAILABLE, 503, b"retry-after"),
        (answers.KAFKA_UNAVAILABLE, 503, b"retry-after"),
        (answers.CUT_OFF, 503, b"retry-after"),
        (answers.INTERNAL_ERROR, 503, b"retry-after"),
    ],
)
def test_answer_has_its_status_and_the_header_that_belongs_to_it(answer: Answer, status: int, header: bytes | None) -> None:
    assert answer.status == status
    assert (header in dict(answer.headers)) if header else not answer.headers


def test_only_verification_by_meta_gets_an_answer_with_text() -> None:
    given = [answer for answer in vars(answers).values() if isinstance(answer, Answer)]

    assert [answer for answer in given if answer.body] == [answers.NOT_FOR_META]


def test_unauthenticated_answer_closes_the_connection() -> None:
    assert dict(answers.NOT_AUTHENTIC.headers)[b"connection"] == b"close"
