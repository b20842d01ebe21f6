"""`connector health`: asks a running bridge for its health, at the management address of the settings; an exit code out.

Container engines start it every few seconds, so it reads only [management], from the same file and variables as `serve`, and
imports little: validating all settings takes ten times as long as the rest. Any doubt is left to the settings' own loader,
and unusual arguments to the command line, so that each has one set of error messages.
"""

import json
import os
import socket
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

_HOST: Final = "127.0.0.1"
_PORT: Final = 8090
LONGEST_SECONDS: Final = 3.0
"""Longest wait for the whole answer."""
_LARGEST_BYTES: Final = 1024 * 1024
_OWN_ADDRESS: Final = {"": _HOST, "0.0.0.0": _HOST, "::": "::1", "[::]": "::1"}
_VARIABLE: Final = "CONNECTOR_MANAGEMENT__"


class Health(NamedTuple):
    """What a bridge answered. `reasons` says why it is not healthy, by name."""

    url: str
    is_healthy: bool
    reasons: Mapping[str, str]


def quick(arguments: Sequence[str]) -> int | None:
    """Run the command and return its exit code; None for arguments that the command line must parse or explain."""
    file: str | None = None
    flags = set()
    left = list(arguments)
    while left:
        match left:
            case ["--live" | "--json" as flag, *left]:
                flags.add(flag)
            case ["--config", name, *left] if not name.startswith("-"):
                file = name
            case _:
                return None
    try:
        code, line = check(Path(file) if file else None, is_live="--live" in flags, as_json="--json" in flags)
    except _invalid() as invalid:
        code, line = 2, "\n".join(f"connector: {problem}" for problem in invalid.problems)
    # The exit code is the answer, also if there is no one to read the line.
    with suppress(OSError):
        os.write(1 if is_output(code, as_json="--json" in flags) else 2, f"{line}\n".encode("ascii", "backslashreplace"))
    return code


def check(file: Path | None, *, is_live: bool, as_json: bool) -> tuple[int, str]:
    """Ask a bridge; return the exit code, and the line to print: with `is_live` whether its process runs, else if it is ready.

    Raises:
        ConfigurationInvalid: if the management address cannot be read from the settings.
    """
    host, port = management_address(file, os.environ)
    health = ask(host, port, "/healthz" if is_live else "/readyz")
    if as_json:
        line = json.dumps({"healthy": health.is_healthy, "url": health.url, "reasons": health.reasons})
    elif health.is_healthy:
        line = "alive" if is_live else "ready"
    else:
        why = "; ".join(f"{name}: {text}" for name, text in health.reasons.items())
        line = f"connector: not {'alive' if is_live else 'ready'}: {_printable(why)}"
    return (0 if health.is_healthy else 1), line


def is_output(code: int, *, as_json: bool) -> bool:
    """Return whether the line belongs on stdout, not on stderr."""
    return code == 0 or (code == 1 and as_json)


def management_address(file: Path | None, environment: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port of the management port, as `serve` reads them.

    Raises:
        ConfigurationInvalid: with every problem in the settings, if this one cannot be read.
    """
    given = _given(file, environment)
    host, port = given.get("host", _HOST), given.get("port", _PORT)
    port = int(port) if isinstance(port, str) and port.isascii() and port.isdecimal() else port
    if given.keys() - {"host", "port"} or not isinstance(host, str) or type(port) is not int or not 0 < port <= 65535:
        return _by_the_loader(file)
    return host, port


def ask(host: str, port: int, path: str) -> Health:
    """Ask for one of the two paths; nothing is raised."""
    host = _OWN_ADDRESS.get(host, host).strip("[]")
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
    try:
        status, body = _get(host, port, path)
    except TimeoutError:
        return Health(url, is_healthy=False, reasons={"no_answer": f"{url} does not answer within {LONGEST_SECONDS:g} s"})
    except OSError as error:
        advice = "is the bridge running, and are management.host and management.port the ones it was started with?"
        return Health(
            url, is_healthy=False, reasons={"no_answer": f"{url} does not answer ({error.strerror or error}); {advice}"}
        )
    except ValueError:
        return Health(url, is_healthy=False, reasons={"no_answer": f"{url} is not a bridge's management port"})
    if path == "/healthz" and body == b"ok\n":
        return Health(url, status == 200, {})
    return _readiness(url, status, body)


def _readiness(url: str, status: int, body: bytes) -> Health:
    try:
        state: Any = json.loads(body)
        is_ready, reasons = bool(state["ready"]), dict(state["reasons"])
    except (ValueError, LookupError, TypeError):
        found = f"{url} answers {status}, but is not a bridge's management port: check management.port"
        return Health(url, is_healthy=False, reasons={"no_answer": found})
    if is_ready:
        return Health(url, status == 200, {})
    return Health(url, is_healthy=False, reasons=reasons or {"starting": "no worker is ready yet"})


def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Return status and body of an answer. Not by http.client, whose imports take as long as the rest of the command.

    Raises:
        OSError: if there is no answer in time.
        ValueError: if the answer is not HTTP.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    answer = b""
    with socket.create_connection((host, port), LONGEST_SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nhost: connector\r\n\r\n".encode("ascii"))
        while part := connection.recv(65536):
            answer += part
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                raise TimeoutError
            if len(answer) > _LARGEST_BYTES:
                raise ValueError
            connection.settimeout(left_seconds)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1."):
        raise ValueError
    return int(head.split(maxsplit=2)[1]), body


def _given(file: Path | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in [management] of the file and the environment; an unreadable file gives an unknown one."""
    table: Any = {}
    if file:
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8")).get("management", {})
        except (OSError, ValueError):
            table = {"unreadable": file}
    variables = {name.removeprefix(_VARIABLE).lower(): text for name, text in environment.items() if name.startswith(_VARIABLE)}
    return {**(table if isinstance(table, dict) else {"unreadable": file}), **variables}


def _by_the_loader(file: Path | None) -> tuple[str, int]:
    from connector.errors import ConfigurationInvalid  # noqa: PLC0415 - takes a second, for unusual settings alone
    from connector.settings.load import load_settings_for_tools  # noqa: PLC0415 - the same

    management = load_settings_for_tools(file).management
    if not management.port:
        raise ConfigurationInvalid(
            ["management.port: 0 takes a free port, so `connector health` cannot know it; set the port that it can ask"]
        )
    return management.host, management.port


def _invalid() -> Any:
    """Return the class of configuration errors; an `except` evaluates this only once there is an error."""
    from connector.errors import ConfigurationInvalid  # noqa: PLC0415 - as above

    return ConfigurationInvalid


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
