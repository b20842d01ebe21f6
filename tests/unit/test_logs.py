"""What happens often is logged seldom."""

import json

import pytest

from connector import logs
from connector.logs import Seldom


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    written: list[str] = []
    monkeypatch.setattr(logs, "event", lambda name, level, **facts: written.append(json.dumps([name, level, facts])))
    return written


def test_event_is_logged_once_in_a_while_with_how_often_it_happened(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    seldom = Seldom("callbacks_from_meta", seconds=60.0)

    for _ in range(3):
        seldom.event(advice="x")
    now += 59.9
    seldom.event(advice="x")
    assert [json.loads(line) for line in lines] == [["callbacks_from_meta", "warning", {"times": 1, "advice": "x"}]]

    now += 0.2
    seldom.event(advice="x")
    assert json.loads(lines[1]) == ["callbacks_from_meta", "warning", {"times": 4, "advice": "x"}]
