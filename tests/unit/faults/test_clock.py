"""The clock of the times of receipt is a parameter: a record says when its callback came by that clock."""

import asyncio
from pathlib import Path

import httpx
import pytest

from connector.http.app import create_app
from connector.metrics import Metrics
from connector.settings.tables import Http
from tests.faults.scenarios import clock
from tests.support.callbacks import MemorySink, decoded, envelope, flow, message


def test_time_of_receipt_is_that_of_the_clock() -> None:
    sink, metrics = MemorySink(), Metrics()
    carrier = flow(sink, metrics=metrics)
    times = iter([1_763_721_000_000_999_999, 1_763_700_000_000_000_000])
    app = create_app(Http(), lambda: carrier, metrics, clock=lambda: next(times))

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bridge") as http:
            for _ in range(2):
                assert (await http.post(Http().path, content=envelope([message()]))).status_code == 200

    asyncio.run(run())
    received = [decoded(record)["received_at"].timestamp() for record in sink.messages]
    assert received == [1_763_721_000.0, 1_763_700_000.0]


def test_fake_clock_has_the_offset_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 5_000_000_000)
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    for seconds, shown in ((0.0, 5_000_000_000), (3600.0, 3605_000_000_000), (-1.5, 3_500_000_000)):
        clock.set_off(tmp_path / "clock", seconds)
        assert clock.time_ns() == shown
