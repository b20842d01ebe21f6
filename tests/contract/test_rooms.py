"""The rooms of the package: who may import whom, which library is known where, and what a module may be.

Read from the source, so that nothing has to be started. Each test lists every offender.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "connector"
MODULES = sorted(PACKAGE.rglob("*.py"))


class Room(NamedTuple):
    """The rooms that a room may import, and the guarded libraries that it may know."""

    imports: str = ""
    libraries: str = ""


ROOMS = {
    # Values and vocabulary: they know nothing that runs.
    "refusals": Room(),
    "records": Room("refusals"),
    "errors": Room("records"),
    "answers": Room("records"),
    "seals": Room("errors"),
    "mapping": Room("errors records"),
    "settings": Room("errors records seals", "pydantic pydantic_settings"),
    "privacy": Room("mapping records seals settings"),
    "record_tables": Room("mapping records settings"),
    "catalogue": Room("errors mapping privacy record_tables records settings"),
    # What every room above may use.
    "logs": Room("settings"),
    "prometheus": Room("", "prometheus_client"),
    "metrics": Room("prometheus", "prometheus_client"),
    # Asks a running bridge, and imports little.
    "health": Room("errors settings"),
    # Where the processes of an instance keep what they need while they run.
    "temporary": Room("errors"),
    # The path of a callback, pure.
    "auth": Room("metrics records settings"),
    "pipeline": Room("answers auth catalogue errors logs mapping metrics privacy records settings", "python_multipart"),
    # The world outside.
    "http": Room("answers auth errors logs metrics pipeline records refusals settings", "starlette httptools"),
    "kafka": Room("errors logs mapping pipeline records", "confluent_kafka"),
    "registry": Room("catalogue errors logs metrics", "confluent_kafka"),
    "spool": Room("errors logs metrics pipeline records seals settings"),
    "instance": Room("auth catalogue errors http kafka logs metrics pipeline registry settings spool temporary"),
    # What people and deployments run.
    "schemas": Room("catalogue errors mapping records"),
    "topics": Room("catalogue errors kafka settings", "confluent_kafka"),
    "replay": Room("errors kafka mapping pipeline records seals", "confluent_kafka"),
    "doctor": Room("catalogue errors http kafka metrics privacy refusals registry schemas settings spool temporary topics"),
    "dev": Room("errors mapping records", "confluent_kafka starlette"),
    "commands": Room(
        "answers catalogue dev doctor errors health http instance kafka logs mapping metrics pipeline privacy record_tables "
        "records registry replay schemas seals settings topics",
        "typer",
    ),
    "cli": Room("commands", "typer"),
    "__main__": Room("cli health"),
}
"""Every room, lowest first. A room is a folder or a single module of the package."""

GUARDED = frozenset(
    {
        "starlette",
        "httptools",
        "uvicorn",
        "python_multipart",
        "confluent_kafka",
        "typer",
        "pydantic",
        "pydantic_settings",
        "prometheus_client",
    }
)
"""Libraries that only the rooms named above may know; uvicorn is known to none."""

CLIENT_MODULES = {"topics/broker.py", "replay/backlog.py", "dev/embedded/broker.py"}
"""The modules outside kafka/ and registry/ that hold a Kafka client."""

PURE = ("auth", "pipeline", "mapping", "records", "refusals", "errors", "answers")
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
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "urllib.request",
        "uvloop",
    }
)
"""What a pure room has no use for."""

LONG_FOR_A_REASON = {
    "settings/tables.py": "every setting with its rule is in one place, as in config/connector.toml",
}
NAMES_THAT_SAY_NOTHING = ("util", "helper", "manager", "common", "misc", "handler", "service")
LONGEST_MODULE = 300


def name_of(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


@cache
def imports_of(module: Path) -> frozenset[str]:
    """The absolute names of all modules that a module imports, also inside functions, and the names taken from them."""
    found: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(module)}: relative import"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def rooms_imported_by(module: Path) -> set[str]:
    parts = [name.split(".") for name in imports_of(module) if name.startswith("connector.")]
    return {part[1] for part in parts if part[1] in ROOMS} - {room_of(module)}


def libraries_known_to(module: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(module)} & GUARDED


def import_graph() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        graph.setdefault(room_of(module), set()).update(rooms_imported_by(module))
    return graph


def offenders() -> Iterator[str]:
    for module in MODULES:
        room = room_of(module)
        if room == "__init__":
            continue
        if room not in ROOMS:
            yield f"{name_of(module)} is in no room of the table"
            continue
        allowed = ROOMS[room]
        for imported in sorted(rooms_imported_by(module) - set(allowed.imports.split())):
            yield f"{name_of(module)} imports {imported}/"
        for library in sorted(libraries_known_to(module) - set(allowed.libraries.split())):
            yield f"{name_of(module)} knows {library}"


def test_rooms_import_only_what_the_table_allows() -> None:
    assert not list(offenders())


def test_rooms_form_no_cycle() -> None:
    try:
        TopologicalSorter(import_graph()).prepare()
    except CycleError as cycle:
        raise AssertionError(f"rooms import each other: {' -> '.join(cycle.args[1])}") from None


def test_table_of_rooms_is_sorted_and_has_no_unused_entry() -> None:
    graph, seen = import_graph(), set[str]()
    libraries: dict[str, set[str]] = {}
    for module in MODULES:
        libraries.setdefault(room_of(module), set()).update(libraries_known_to(module))
    wrong = []
    for name, room in ROOMS.items():
        if later := set(room.imports.split()) - seen:
            wrong.append(f"{name} may import {sorted(later)}, which come later")
        if unused := set(room.imports.split()) - graph.get(name, set()):
            wrong.append(f"{name} does not import {sorted(unused)}")
        if unknown := set(room.libraries.split()) - libraries.get(name, set()):
            wrong.append(f"{name} does not know {sorted(unknown)}")
        seen.add(name)
    assert not wrong


def test_kafka_clients_are_held_in_few_modules() -> None:
    holders = {name_of(module) for module in MODULES if "confluent_kafka" in libraries_known_to(module)}
    assert {name for name in holders if name.partition("/")[0] not in ("kafka", "registry")} == CLIENT_MODULES


def test_dependencies_are_those_that_are_imported() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages_of_users = [*declared["dependencies"], *declared["optional-dependencies"]["msk"]]
    wanted = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in packages_of_users}
    packages = {name.partition(".")[0] for module in MODULES for name in imports_of(module)}
    packages -= {"connector", *sys.stdlib_module_names}
    distributions = packages_distributions()
    imported = {re.sub(r"[-_.]+", "-", name).lower() for package in packages for name in distributions[package]}
    assert wanted == imported


def test_dependencies_have_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    first = lines.index("dependencies = [") + 1
    block = lines[first : lines.index("]", first)]
    without = [line.strip() for before, line in pairwise(["", *block]) if '"' in line and not before.strip().startswith("#")]
    # Two of one project share theirs.
    assert without == ['"pydantic-settings>=2.10",']


def test_pure_rooms_have_no_input_and_output() -> None:
    reached = [
        f"{name_of(module)} imports {name}"
        for module in MODULES
        if room_of(module) in PURE
        for name in imports_of(module)
        if any(name == package or name.startswith(f"{package}.") for package in INPUT_AND_OUTPUT)
    ]
    assert not reached


def test_no_private_module_of_a_library_is_imported_for_http() -> None:
    private = [
        f"{name_of(module)} imports {name}"
        for module in MODULES
        if room_of(module) == "http"
        for name in imports_of(module)
        if not name.startswith("connector.") and any(part.startswith("_") and part != "__future__" for part in name.split("."))
    ]
    assert not private


def test_each_room_has_a_docstring() -> None:
    folders = sorted({module.parent for module in MODULES})
    silent = [str(folder.relative_to(ROOT)) for folder in folders if not ast.get_docstring(tree_of(folder / "__init__.py"))]
    assert not silent


def test_data_folders_hold_no_python() -> None:
    python = [
        path for folder in ("avro", "config") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".pyi", ".pyc")
    ]
    assert not python


def test_module_names_are_specific() -> None:
    wrong = [
        name_of(module)
        for module in MODULES
        for part in module.relative_to(PACKAGE).with_suffix("").parts
        if part.removesuffix("s") in NAMES_THAT_SAY_NOTHING
    ]
    assert not wrong


def test_modules_are_short_or_have_a_reason() -> None:
    lines = {name_of(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    long = {name: count for name, count in lines.items() if count > LONGEST_MODULE}
    assert long.keys() == LONG_FOR_A_REASON.keys(), long


def test_modules_have_a_docstring() -> None:
    assert not [name_of(module) for module in MODULES if not ast.get_docstring(tree_of(module))]


def test_import_has_no_side_effects() -> None:
    effects = ("open", "environ", "getenv", "read_text", "read_bytes", "basicConfig", "load", "load_settings", "load_catalogue")
    made = [
        f"{name_of(module)}: {call}"
        for module in MODULES
        for statement in tree_of(module).body
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        for call in [ast.unparse(node.func)]
        if call.rpartition(".")[2] in effects or "environ" in call
    ]
    assert not made


def test_flow_and_command_line_stay_short() -> None:
    limits = {"pipeline/flow.py": 90, "cli.py": 80}
    lines = {name: len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) for name in limits}
    assert not {name: count for name, count in lines.items() if count > limits[name]}
