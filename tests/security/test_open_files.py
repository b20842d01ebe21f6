"""A worker that can open no more files: it says so in the log and in `/readyz`, and recovers."""

import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.callbacks import envelope, message
from tests.support.servers import eventually, post

pytestmark = pytest.mark.slow

LIMIT = 120


def test_exhausted_open_files_are_logged_and_make_it_not_ready_until_connections_close(tmp_path: Path) -> None:
    with servers.developing({"CONNECTOR_TOPICS__PREFIX": "kaleyra.whatsapp."}, tmp_path) as (_, addresses):
        settings = servers.environment(addresses.bootstrap_servers, addresses.registry_url, prefix=addresses.prefix)
        given = resource.getrlimit(resource.RLIMIT_NOFILE)
        with servers.served(settings, tmp_path) as server:
            server.wait_until_ready()
            (worker,) = server.children()
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (LIMIT, given[1]))
            port = int(server.addresses.callback_url.split("/")[2].rpartition(":")[2])
            with ExitStack() as opened:
                for _ in range(LIMIT):
                    one = opened.enter_context(socket.socket())
                    one.settimeout(5)
                    one.connect(("127.0.0.1", port))
                eventually(lambda: server.readiness().status == 503, 15, server.log)
                reason = server.wait_for_reason("no more files can be opened", 15)
                assert "http.max_connections" in reason
                assert server.readiness().status == 503
                eventually(lambda: len(server.events("open_files_exhausted")) == 1)
            server.wait_until_ready()
            assert post(server.addresses.callback_url, envelope([message()])).status_code == 200
            assert server.stop().exit_code == 0


def test_hard_limit_below_what_the_connections_need_is_a_warning_at_start(tmp_path: Path) -> None:
    settings = servers.environment("127.0.0.1:1", "http://127.0.0.1:1", HTTP__MAX_CONNECTIONS="2000000000")
    with servers.served(settings, tmp_path) as server:
        eventually(lambda: bool(server.events("open_files_limit_low")), 20, server.log)
        (line,) = server.events("open_files_limit_low")
        assert line["limit"] < line["needed"] == 2_000_000_100
