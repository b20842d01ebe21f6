"""The deployment files say what the code, the settings and the lock files say; no container engine is needed."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from connector.cli import app
from connector.health import LONGEST_SECONDS, management_address
from connector.instance.supervisor import longest_stop_seconds
from connector.settings.load import PASS_THROUGH, environment_names, load_settings
from connector.settings.tables import PREFIX, Settings
from tests.stack.versions import APICURIO_VERSION, KAFKA_VERSION

if TYPE_CHECKING:
    import jsonschema

ROOT = Path(__file__).parents[2]
COMPOSE_SCHEMA = ROOT / "tests" / "data" / "compose-spec.json"


class Instruction(NamedTuple):
    """One instruction of a Dockerfile, continuation lines joined."""

    keyword: str
    arguments: str


def dockerfile() -> list[Instruction]:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", code)
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for instruction in dockerfile():
        if instruction.keyword == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def arguments_of(stage: list[Instruction], keyword: str) -> list[str]:
    return [instruction.arguments for instruction in stage if instruction.keyword == keyword]


def environment_of(stage: list[Instruction]) -> set[str]:
    return {word.partition("=")[0] for line in arguments_of(stage, "ENV") for word in shlex.split(line)}


def copied_sources(stage: list[Instruction]) -> set[str]:
    return {source for line in arguments_of(stage, "COPY") for source in shlex.split(line)[:-1]}


def mounted_from_context(stage: list[Instruction]) -> set[str]:
    mounts = re.findall(r"--mount=(\S+)", "\n".join(arguments_of(stage, "RUN")))
    options = [dict(option.partition("=")[::2] for option in mount.split(",")) for mount in mounts]
    return {option["source"] for option in options if "from" not in option}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def compose_validator() -> "jsonschema.Draft7Validator":
    # Compiles 38 grammars, which takes seconds: not for a process that runs other tests.
    import jsonschema  # noqa: PLC0415

    return jsonschema.Draft7Validator(json.loads(COMPOSE_SCHEMA.read_text(encoding="utf-8")))


def prepared_commands() -> list[list[str]]:
    [script] = service("prepare")["command"]
    return [shlex.split(line) for line in script.splitlines() if line]


def is_a_setting(name: str) -> bool:
    known = environment_names()
    # Below these the names are librdkafka's and the registry client's own.
    passed_through = tuple(PREFIX + table for table in PASS_THROUGH)
    return name in known or name.removesuffix("_FILE") in known or name.startswith(passed_through)


def loaded_settings(name: str, token_file: Path) -> Settings:
    """Load what a service of the compose file would, with our own token."""
    token_file.write_text("invented-token-of-32-characters0\n", encoding="utf-8")
    mounted = {"/run/secrets/url_token": str(token_file)}
    environment = {key: mounted.get(value, value) for key, value in service(name)["environment"].items()}
    return load_settings(ROOT / "config" / "connector.toml", environment)


def locked_names(lock_file: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", lock_file.read_text(encoding="utf-8"), re.MULTILINE))


def missing_command(words: list[str]) -> str | None:
    """The first word that is neither a command nor the end of the way to one."""
    command = get_command(app)
    for word in words:
        if not isinstance(command, TyperGroup):
            return word
        if word not in command.commands:
            return word
        command = command.commands[word]
    return "(a command is missing)" if isinstance(command, TyperGroup) else None


# docker-compose.yml


def test_compose_file_is_valid_by_the_compose_specification() -> None:
    problems = [f"{error.json_path}: {error.message}" for error in compose_validator().iter_errors(compose())]
    assert problems == []


def test_specification_refuses_a_misspelt_key() -> None:
    changed = compose()
    changed["services"]["connector"]["helthcheck"] = {"disable": True}
    assert not compose_validator().is_valid(changed)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("kafka", f"apache/kafka:{KAFKA_VERSION}"),
        ("registry", f"apicurio/apicurio-registry:{APICURIO_VERSION}"),
        ("registry-volume", f"apicurio/apicurio-registry:{APICURIO_VERSION}"),
    ],
)
def test_servers_have_the_version_that_the_tests_run_against(name: str, image: str) -> None:
    assert service(name)["image"] == image


@pytest.mark.parametrize("name", ["prepare", "connector"])
def test_every_variable_of_a_service_is_a_setting(name: str) -> None:
    assert [variable for variable in service(name)["environment"] if not is_a_setting(variable)] == []


def test_preparing_registers_schemas_before_it_creates_topics() -> None:
    assert prepared_commands() == [["connector", "schemas", "register"], ["connector", "topics", "create"]]


def test_prepared_commands_exist() -> None:
    assert [missing_command(words[1:]) for words in prepared_commands()] == [None, None]


@pytest.mark.parametrize("name", ["prepare", "connector"])
def test_settings_of_a_service_load(name: str, tmp_path: Path) -> None:
    loaded = loaded_settings(name, tmp_path / "token")
    assert loaded.authentication.url_token.get_secret_value()
    assert loaded.kafka.client["bootstrap.servers"] == "kafka:9092"
    assert loaded.registry.url == "http://registry:8080/apis/ccompat/v7"
    assert loaded.topics.replication_factor == 1


def test_token_has_no_default_and_is_mounted_at_its_setting() -> None:
    assert compose()["secrets"]["url_token"]["file"].startswith("${URL_TOKEN_FILE:?")
    for name in ("prepare", "connector"):
        assert service(name)["secrets"] == ["url_token"]
        assert service(name)["environment"]["CONNECTOR_AUTHENTICATION__URL_TOKEN_FILE"] == "/run/secrets/url_token"


def test_only_callbacks_are_published_beyond_this_machine(tmp_path: Path) -> None:
    loaded = loaded_settings("connector", tmp_path / "token")
    data, management = loaded.http.port, loaded.management.port
    published = {name: entry["ports"] for name, entry in compose()["services"].items() if "ports" in entry}
    assert published == {"connector": [f"{data}:{data}", f"127.0.0.1:{management}:{management}"]}
    # Inside, loopback would be the container's own.
    assert (loaded.http.host, loaded.management.host) == ("0.0.0.0", "0.0.0.0")


def test_connector_is_given_the_time_to_drain(tmp_path: Path) -> None:
    loaded = loaded_settings("connector", tmp_path / "token")
    assert loaded.shutdown.delay_seconds > 0
    assert float(service("connector")["stop_grace_period"].removesuffix("s")) > longest_stop_seconds(loaded.shutdown)


def test_schema_ids_outlive_a_container_on_a_volume_of_its_user(tmp_path: Path) -> None:
    folder = loaded_settings("connector", tmp_path / "token").registry.cache_folder
    assert service("connector")["volumes"] == [f"connector-data:{folder}"]
    assert "connector-data" in compose()["volumes"]
    [user] = arguments_of(stages()[-1], "USER")
    owner, group = user.split(":")
    made = [shlex.split(line) for line in arguments_of(stages()[-1], "RUN") if line.startswith("install ")]
    assert made == [["install", "--directory", "--mode", "0700", "--owner", owner, "--group", group, folder]]


def test_every_service_runs_without_capabilities_it_does_not_need() -> None:
    services = compose()["services"]
    assert {name for name, entry in services.items() if entry.get("cap_drop") != ["ALL"]} == set()
    assert {name: entry["cap_add"] for name, entry in services.items() if "cap_add" in entry} == {"registry-volume": ["CHOWN"]}
    assert {name for name, entry in services.items() if entry["security_opt"] != ["no-new-privileges:true"]} == set()


# Dockerfile


def test_base_image_has_a_full_version_and_is_named_once() -> None:
    [base, *others] = [line for stage in stages() for line in arguments_of(stage, "FROM")]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})? AS base", base)
    assert others == ["base AS build", "base"]


def test_whatever_pip_fetches_is_locked_by_hash() -> None:
    runs = [line for stage in stages() for line in arguments_of(stage, "RUN")]
    installs = [words for line in runs for words in re.findall(r"pip install ([^&]*)", line)]
    fetching = [words for words in installs if "--no-index" not in words]
    assert len(fetching) == 2
    assert all(
        re.fullmatch(r"--no-deps --require-hashes --only-binary :all: -r (/tmp/)?requirements(-build)?\.lock\s*", words)
        for words in fetching
    )
    # The lock file is the whole answer: pip would resolve an extra (coverage[toml]) again, and take a release without a hash.
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"pip install (.*--require-hashes.*)", makefile) == [
        f"--quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-{which}.lock"
        for which in ("dev", "docs", "bench")
    ]
    assert "pip check" in makefile
    # The wheel itself: nothing is resolved, nothing is fetched.
    assert [words.split() for words in installs if "--no-index" in words] == [["--no-deps", "--no-index", "/tmp/dist/*.whl"]]
    assert [line.split() for line in runs if "pip wheel" in line] == [
        shlex.split("python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist .")
    ]


def test_lock_file_of_the_build_holds_what_the_build_requires() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    required = {re.split(r"[^a-z0-9-]", line)[0] for line in pyproject["build-system"]["requires"]}
    assert required
    assert required <= locked_names(ROOT / "requirements-build.lock")


def test_image_runs_as_a_user_without_rights() -> None:
    final = stages()[-1]
    [user] = arguments_of(final, "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = [instruction.keyword for instruction in final[final.index(Instruction("USER", user)) :]]
    assert "RUN" not in after


@pytest.mark.parametrize("name", ["prepare", "connector"])
def test_image_is_read_only_except_for_tmpfs_and_the_volume(name: str) -> None:
    entry = service(name)
    assert entry["read_only"] is True
    assert [mount.partition(":")[0] for mount in entry["tmpfs"]] == ["/tmp"]
    made = [shlex.split(line)[-1] for line in arguments_of(stages()[-1], "RUN") if line.startswith("install ")]
    assert [volume.partition(":")[2] for volume in entry.get("volumes", [])] == (made if name == "connector" else [])
    # Python would try to write beside its modules.
    assert "PYTHONDONTWRITEBYTECODE" in environment_of(stages()[-1])
    assert "user" not in entry, "another user than the image's"


def test_every_connector_variable_of_the_image_is_a_setting() -> None:
    named = {name for stage in stages() for name in environment_of(stage) if name.startswith("CONNECTOR_")}
    assert [name for name in named if not is_a_setting(name)] == []


def test_image_starts_the_command_line_of_the_wheel() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    final = stages()[-1]
    [entrypoint] = [json.loads(line) for line in arguments_of(final, "ENTRYPOINT")]
    [command] = [json.loads(line) for line in arguments_of(final, "CMD")]
    assert set(entrypoint) <= set(pyproject["project"]["scripts"])
    assert missing_command(command) is None


def test_image_exposes_and_checks_the_ports_of_the_settings(tmp_path: Path) -> None:
    loaded = loaded_settings("connector", tmp_path / "token")
    final = stages()[-1]
    assert arguments_of(final, "EXPOSE") == [f"{loaded.http.port} {loaded.management.port}"]
    [check] = arguments_of(final, "HEALTHCHECK")
    options, _, command = check.partition("CMD ")
    program, *arguments = json.loads(command)
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert (program, arguments) == ("connector", ["health", "--live"])
    assert program in pyproject["project"]["scripts"]
    # The fast start, without the settings' loader, and at the port of the container's own settings.
    environment = {name: str(value) for name, value in service("connector")["environment"].items()}
    assert management_address(None, environment) == (loaded.management.host, loaded.management.port)
    # The engine must not end the command before it has its answer.
    [timeout] = re.findall(r"--timeout=(\d+)s", options)
    assert float(timeout) > LONGEST_SECONDS


def test_build_context_is_exactly_what_the_dockerfile_reads() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    read = {source.removeprefix("./") for stage in stages() for source in copied_sources(stage)}
    read |= {source for stage in stages() for source in mounted_from_context(stage)}
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == read


# The wheel, from the files that the build stage copies and from the whole tree


@pytest.fixture(scope="module", params=["image", "tree"])
def wheel_files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The names in the wheel."""
    source = ROOT if request.param == "tree" else copied_for_the_build(tmp_path_factory.mktemp("source"))
    target = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    finished = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    [wheel] = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def copied_for_the_build(target: Path) -> Path:
    for name in copied_sources(stages()[1]):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.py[cod]"))
        else:
            shutil.copy(ROOT / name, target / name)
    return target


def test_wheel_carries_the_contract_and_the_settings(wheel_files: frozenset[str]) -> None:
    schemas = {path.relative_to(ROOT).as_posix() for path in (ROOT / "avro").rglob("*.avsc")}
    expected = schemas | {"config/connector.toml", "config/messages.toml"}
    assert schemas
    assert {f"connector/_data/{name}" for name in expected} <= wheel_files


def test_wheel_carries_every_module(wheel_files: frozenset[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "connector").rglob("*.py")}
    assert modules <= wheel_files


def test_wheel_carries_nothing_but_the_package(wheel_files: frozenset[str]) -> None:
    elsewhere = [name for name in wheel_files if not re.match(r"connector/|kaleyra_whatsapp_connector-[^/]+\.dist-info/", name)]
    assert elsewhere == []
