"""The health path of the data port: 200 or 503 for load balancers, without a credential, a detail or a trace in the metrics."""

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest

from connector.errors import ConfigurationInvalid
from connector.http.app import create_app
from connector.metrics import Metrics
from connector.settings.load import load_settings
from connector.settings.tables import Http


def ask(
    method: str = "GET", path: str = "/readyz", *, is_healthy: bool = True, http: Http | None = None, **more: Any
) -> httpx.Response:
    app = create_app(http or Http(), lambda: None, more.pop("metrics", None) or Metrics(), is_healthy=lambda: is_healthy)

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bridge") as client:
            return await client.request(method, path, **more)

    return asyncio.run(run())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("is_healthy", "status"), [(True, 200), (False, 503)])
def test_answer_is_a_status_and_nothing_else(method: str, is_healthy: bool, status: int) -> None:
    answer = ask(method, is_healthy=is_healthy)
    assert (answer.status_code, answer.content) == (status, b"")
    assert dict(answer.headers) == {"content-length": "0", "cache-control": "no-store"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(method: str) -> None:
    answer = ask(method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_credential_is_not_looked_at() -> None:
    assert ask(headers={"authorization": "Bearer wrong"}).status_code == 200
    assert ask(params={"from": "393335550142"}).status_code == 200


def test_nothing_is_counted() -> None:
    metrics = Metrics()
    before = generate_latest()
    for healthy in (True, False):
        ask(is_healthy=healthy, metrics=metrics)
    ask("POST", metrics=metrics)
    metrics.flush()
    changed = set(generate_latest().splitlines()) - set(before.splitlines())
    assert not [line for line in changed if line.startswith(b"connector_")]


def test_own_path_and_none() -> None:
    assert ask(path="/up", http=Http(health_path="/up")).status_code == 200
    assert ask(http=Http(health_path="/up")).status_code == 404
    assert ask(http=Http(health_path="")).status_code == 404
    assert ask(path="/readyz/").status_code == 404


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"HTTP__HEALTH_PATH": "/callbacks/kaleyra"}, "http.health_path"),
        ({"HTTP__HEALTH_PATH": "/callbacks/kaleyra/health"}, "http.health_path"),
        ({"HTTP__PATH": "/readyz"}, "http.health_path"),
        ({"HTTP__HEALTH_PATH": "no slash"}, "http.health_path"),
        ({"HTTP__HEALTH_PATH": "/oauth/token"}, "oauth"),
        ({"OAUTH__PATH": "/readyz"}, "oauth"),
    ],
)
def test_collision_is_reported_at_start_with_all_other_problems(settings: dict[str, str], setting: str) -> None:
    ours = {f"CONNECTOR_{name}": value for name, value in settings.items()}
    with pytest.raises(ConfigurationInvalid) as invalid:
        load_settings(None, {**ours, "CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true", "CONNECTOR_MANAGEMENT__PORT": "70000"})
    assert [problem for problem in invalid.value.problems if problem.startswith(setting)]
    assert [problem for problem in invalid.value.problems if problem.startswith("management.port")]


@pytest.mark.parametrize("path", ["/callbacks/kaleyra-health", "/callbacks", "/a/b"])
def test_similar_paths_are_no_collision(path: str) -> None:
    assert Http(health_path=path).health_path == path
