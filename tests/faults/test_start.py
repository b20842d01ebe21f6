"""What is missing at start: the bridge is not ready, says which command or setting helps, and takes no callback."""

from collections.abc import Mapping
from pathlib import Path

from tests.stack.apicurio import ApicurioRegistry
from tests.stack.kafka import KafkaBroker
from tests.stack.ports import free_ports
from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.servers import post


def test_unreachable_registry_is_reported_with_its_address(tmp_path: Path) -> None:
    ports = free_ports(2)
    nowhere = f"http://127.0.0.1:{ports[0]}"
    settings = servers.environment(f"127.0.0.1:{ports[1]}", nowhere)
    reason = refused(settings, tmp_path, "the registry at")
    assert nowhere in reason
    assert "registry.url" in reason


def test_missing_schemas_are_reported_and_used_once_registered(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.run(settings, "topics", "create")
    with servers.served(settings, tmp_path) as server:
        reason = server.wait_for_reason("`connector schemas register`")
        assert f"{server.addresses.prefix}documents-value" in reason
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 503
        servers.run(settings, "schemas", "register")
        server.wait_until_ready()
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 200


def test_missing_topics_are_reported_and_used_once_created(
    kafka: KafkaBroker, apicurio: ApicurioRegistry, tmp_path: Path
) -> None:
    settings = servers.environment(kafka.bootstrap_servers, apicurio.url)
    servers.run(settings, "schemas", "register")
    with servers.served(settings, tmp_path) as server:
        reason = server.wait_for_reason("`connector topics create`")
        assert f"{server.addresses.prefix}documents" in reason
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 503
        servers.run(settings, "topics", "create")
        server.wait_until_ready()
        assert post(server.addresses.callback_url, envelope([message()])).status_code == 200


def test_serve_reports_a_port_in_use_in_one_line(tmp_path: Path) -> None:
    settings = servers.environment("127.0.0.1:1", "http://127.0.0.1:1")
    with servers.served(settings, tmp_path) as first:
        first.wait_for_reason("the registry at")
        taken = first.addresses.management_url.rpartition(":")[2]
        second = servers.Process(
            ["serve"],
            {**settings, "CONNECTOR_HTTP__PORT": str(free_ports(1)[0]), "CONNECTOR_MANAGEMENT__PORT": taken},
            tmp_path / "second.log",
        )
        ended = second.wait()
    assert ended.exit_code == 2
    assert f"127.0.0.1:{taken} cannot be listened on" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def refused(settings: Mapping[str, str], folder: Path, text: str) -> str:
    """Start a bridge that cannot get ready; return why not."""
    with servers.served(settings, folder) as server:
        reason = server.wait_for_reason(text)
        assert server.readiness().status == 503
        answer = post(server.addresses.callback_url, envelope([message()]))
        assert (answer.status_code, answer.content) == (503, b"")
        assert "retry-after" in answer.headers
        ended = server.stop()
        assert ended.exit_code == 0, ended.stderr
    return reason
