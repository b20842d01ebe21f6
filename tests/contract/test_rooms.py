"""Who may import what, and what a module may be: read from the source, so that nothing has to be started."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "connector"
MODULES = sorted(PACKAGE.rglob("*.py"))

MAY_KNOW = {
    "starlette": {"app.py", "embedded/registry.py"},
    "uvicorn": {"exchange.py", "listener.py"},
    "confluent_kafka": {
        "pipeline/produce.py",
        "pipeline/producers.py",
        "registry.py",
        "access.py",
        "topics/broker.py",
        "consume.py",
        # Offsets of a consumer group, committed by hand.
        "replay/backlog.py",
        "embedded/broker.py",
    },
    "typer": {"cli.py"},
    "pydantic_settings": {"settings.py"},
}
"""Libraries that the rest of the package must not see."""

INPUT_AND_OUTPUT = frozenset(
    {
        "aiohttp",
        "asyncio",
        "http",
        "httpx",
        "httpx2",
        "multiprocessing",
        "os",
        "pathlib",
        "requests",
        "select",
        "selectors",
        "shutil",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "urllib.request",
        "uvicorn",
        "uvloop",
    }
)
"""What the pure steps of the pipeline have no use for."""

LONG_FOR_A_REASON = {
    "cli.py": "a function for each command, which only hands its options on",
    "listener.py": "one connection's bounds stand in one class, and read together",
    "settings.py": "every setting with its rule stands in one place, as in config/connector.toml",
}
NAMES_THAT_SAY_NOTHING = ("util", "helper", "manager", "common", "misc", "handler", "service")
LONGEST_MODULE = 300


def name_of(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def imports_of(module: Path) -> set[str]:
    """The absolute names of all modules that a module imports, also inside functions, and the names taken from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(module)}: relative import"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def importers_of(package: str) -> set[str]:
    return {name_of(module) for module in MODULES if any(is_within(name, package) for name in imports_of(module))}


def test_there_are_modules_to_read() -> None:
    assert {"app.py", "pipeline/flow.py", "embedded/registry.py"} <= {name_of(module) for module in MODULES}


@pytest.mark.parametrize("library", MAY_KNOW)
def test_library_is_known_to_its_modules_alone(library: str) -> None:
    assert importers_of(library) == MAY_KNOW[library]


@pytest.mark.parametrize("module", [module for module in MODULES if PACKAGE / "pipeline" in module.parents], ids=name_of)
def test_pipeline_has_no_input_and_output_but_produce(module: Path) -> None:
    if module.name in ("produce.py", "producers.py"):
        return
    reached = {name for name in imports_of(module) for package in INPUT_AND_OUTPUT if is_within(name, package)}
    assert not reached


def test_pipeline_does_not_know_who_calls_it() -> None:
    outer = ("app", "bridge", "cli", "commands", "embedded", "listener", "supervisor", "worker")
    for module in (PACKAGE / "pipeline").rglob("*.py"):
        reached = {name for name in imports_of(module) for part in outer if is_within(name, f"connector.{part}")}
        assert not reached, name_of(module)


def test_serving_needs_nothing_embedded() -> None:
    users = {name for name in importers_of("connector.dev.embedded") if not name.startswith("embedded/")}
    assert users == {"commands/dev.py"}


@pytest.mark.parametrize("folder", ["avro", "config"])
def test_data_folder_holds_no_python(folder: str) -> None:
    python = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".pyi", ".pyc")]
    assert not python


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_name_says_something(module: Path) -> None:
    parts = [part.removesuffix(".py") for part in module.relative_to(PACKAGE).parts]
    assert not [part for part in parts for word in NAMES_THAT_SAY_NOTHING if part in (word, f"{word}s")]


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_is_short_or_has_a_reason(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert (lines > LONGEST_MODULE) == (name_of(module) in LONG_FOR_A_REASON), f"{lines} lines"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_module_says_what_it_is(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_nothing_is_read_or_made_at_import(module: Path) -> None:
    calls = [
        ast.unparse(node.func)
        for statement in ast.parse(module.read_text(encoding="utf-8")).body
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    ]
    effects = ("open", "environ", "getenv", "read_text", "read_bytes", "basicConfig", "load")
    assert not [call for call in calls if call.rpartition(".")[2] in effects or "environ" in call]
