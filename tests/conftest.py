"""The real Kafka and registry as fixtures: one of each for the whole run, started when the first test asks.

Tests that use them are marked `real`, those of tests/faults `slow`: `make test` runs the tests without either marker,
`make test-real` those with one. Where the stack, or a reader's packages, are not available, the tests are skipped; in CI they
fail. A failed test shows the end of the servers' logs.
"""

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.stack import artifacts
from tests.stack.acl_broker import GUARDED, PASSWORDS, credentials, credentials_over_tls, over_tls
from tests.stack.apicurio import ApicurioRegistry, OwnApicurio
from tests.stack.cluster import KafkaCluster
from tests.stack.errors import StackUnavailable
from tests.stack.kafka import KafkaBroker, OwnKafka
from tests.stack.process import JavaServer
from tests.stack.versions import OTHER_KAFKAS
from tests.support import asyncapi
from tests.support.certificates import Authority
from tests.support.readers import kafkajs, revenue

_REAL_FIXTURES = frozenset(
    {
        "kafka",
        "guarded_kafka",
        "tls_kafka",
        "apicurio",
        "other_kafka",
        "own_kafka",
        "own_apicurio",
        "kafka_cluster",
        "node_modules",
        "flink_jars",
        "asyncapi_modules",
        "revenue_venv",
    }
)
_FAULTS = Path(__file__).with_name("faults")
# Servers by the name of the fixture that started them: those of the run, and those of one test.
_SHARED = pytest.StashKey[dict[str, JavaServer]]()
_OWN = pytest.StashKey[list[JavaServer]]()

Server = TypeVar("Server", bound=JavaServer)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for all tests: each makes its own topics and leaves the broker running."""
    with _shared(request, KafkaBroker(tmp_path_factory.mktemp("kafka"))) as broker:
        yield broker


@pytest.fixture(scope="module", params=OTHER_KAFKAS, ids=lambda release: release.version)
def other_kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker of each further release that the bridge is said to work with."""
    with _shared(request, KafkaBroker(tmp_path_factory.mktemp("other_kafka"), release=request.param)) as broker:
        yield broker


@pytest.fixture(scope="session")
def guarded_kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker with ACLs for all tests: each makes its own topics and ACLs."""
    with _shared(request, KafkaBroker(tmp_path_factory.mktemp("guarded_kafka"), GUARDED, credentials("admin"))) as broker:
        yield broker


@pytest.fixture(scope="session")
def tls_kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker with ACLs that speaks TLS alone (SASL_SSL, SCRAM); its authority's certificate is in its folder."""
    folder = tmp_path_factory.mktemp("tls_kafka")
    authority = Authority(folder)
    admin = credentials_over_tls("admin", authority.path)
    with _shared(request, KafkaBroker(folder, over_tls(authority), admin, PASSWORDS)) as broker:
        yield broker


@pytest.fixture(scope="session")
def apicurio(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApicurioRegistry]:
    """One registry for all tests: each registers under its own subjects."""
    with _shared(request, ApicurioRegistry(tmp_path_factory.mktemp("apicurio"))) as registry:
        yield registry


@pytest.fixture
def own_kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnKafka]:
    """Start brokers for one test alone, which may stop, kill and freeze them."""
    own = request.node.stash.setdefault(_OWN, [])
    with ExitStack() as started:

        def start(credentials: Mapping[str, str] | None = None, /, **properties: str | int) -> KafkaBroker:
            broker = KafkaBroker(tmp_path_factory.mktemp("own_kafka"), properties, credentials)
            own.append(broker)
            with _skipped_where_unavailable():
                return started.enter_context(broker)

        yield start


@pytest.fixture
def own_apicurio(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnApicurio]:
    """Start registries for one test alone, which may stop, kill and freeze them."""
    own = request.node.stash.setdefault(_OWN, [])
    with ExitStack() as started:

        def start(*, keeps_data: bool = False) -> ApicurioRegistry:
            registry = ApicurioRegistry(tmp_path_factory.mktemp("own_apicurio"), keeps_data=keeps_data)
            own.append(registry)
            with _skipped_where_unavailable():
                return started.enter_context(registry)

        yield start


@pytest.fixture(scope="module")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers for the tests of a module, which may kill and freeze them."""
    with ExitStack() as started:
        cluster = KafkaCluster(tmp_path_factory.mktemp("kafka_cluster"))
        with _skipped_where_unavailable():
            started.enter_context(cluster)
        yield cluster


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where kafkajs and its registry client are."""
    with _skipped_where_unavailable():
        return kafkajs.node_modules()


@pytest.fixture(scope="session")
def flink_jars() -> Path:
    """Where the jars of Flink's SQL client are."""
    with _skipped_where_unavailable():
        return artifacts.flink_jars()


@pytest.fixture(scope="session")
def asyncapi_modules() -> Path:
    """Where AsyncAPI's own parser is."""
    with _skipped_where_unavailable():
        return asyncapi.modules()


@pytest.fixture(scope="session")
def revenue_venv() -> Path:
    """The virtual environment of examples/revenue."""
    with _skipped_where_unavailable():
        return revenue.venv()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SHARED] = {}


# First, so that `-m` sees the markers.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not _REAL_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)
        if _FAULTS in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        names = getattr(item, "fixturenames", ())
        shared = [server for name, server in item.config.stash[_SHARED].items() if name in names]
        for server in (*shared, *item.stash.get(_OWN, [])):
            report.sections.append((f"end of {server.log_file}", server.log_tail()))
    return report


@contextmanager
def _shared(request: pytest.FixtureRequest, server: Server) -> Iterator[Server]:
    assert request.fixturename is not None
    request.config.stash[_SHARED][request.fixturename] = server
    with _skipped_where_unavailable():
        server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _skipped_where_unavailable() -> Iterator[None]:
    try:
        yield
    except StackUnavailable as missing:
        # CI has to run what a laptop may leave out.
        if "CI" in os.environ:
            raise pytest.fail.Exception(str(missing), pytrace=False) from None
        raise pytest.skip.Exception(str(missing)) from None
