"""The settings file, the environment and secrets from files in, `Settings` out, with every problem reported at once.

Later sources win: the TOML file, then `CONNECTOR_…` variables, then files that `CONNECTOR_…_FILE` variables name.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from connector.errors import ConfigurationInvalid
from connector.settings.tables import NAME, PREFIX, Settings

_SERVICE_LINK: Final = re.compile(
    r"CONNECTOR_(?:[A-Z0-9]+_)*?(?:"
    r"SERVICE_HOST=.*|SERVICE_PORT(?:_[A-Z0-9_]+)?=[0-9]+|PORT=(?:tcp|udp|sctp)://.*|"
    r"PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:=(?:tcp|udp|sctp)://.*|_ADDR=.*|_PORT=[0-9]+|_PROTO=(?:tcp|udp|sctp)))"
)
"""Variables that Kubernetes sets for a Service named `connector` or `connector-…`; none of them is a setting."""

OPEN_ENDED: Final = re.compile(
    rf"(?:AUTHENTICATION__CREDENTIALS__{NAME}__[a-z]+(?:_[a-z]+)*|OAUTH__SIGNING_KEYS__{NAME})", re.IGNORECASE
)
"""Variables, without their prefix, that contain a name chosen by the user."""

_NOT: Final = {
    "an integer": ("int_parsing", "int_type", "int_from_float", "int_parsing_size"),
    "a number": ("float_parsing", "float_type", "finite_number"),
    "true or false": ("bool_parsing", "bool_type"),
    "a text": ("string_type",),
    "a list": ("list_type",),
    "a table": ("dict_type", "model_type", "model_attributes_type"),
    "a network, such as 192.0.2.0/24": ("ip_any_network",),
}
_WORDS: Final[Mapping[str, str]] = {
    **{kind: f"is not {what}" for what, kinds in _NOT.items() for kind in kinds},
    "literal_error": "is not one of {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "does not match the pattern {pattern}",
    "string_too_long": "has more than {max_length} characters",
    "missing": "is missing",
}
"""The library's kinds of errors in our words; the fields in braces are from its context of the error."""

PASS_THROUGH: Final = ("KAFKA__CLIENT__", "KAFKA__PRODUCER__", "KAFKA__CONSUMER__", "REGISTRY__CLIENT__")


def load_settings(file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from a TOML file (None: the defaults) and the environment (None: that of the process).

        Raises:
    ConfigurationInvalid: with every problem found.
    """
    return _load(file, os.environ if environment is None else environment)


def load_settings_for_tools(file: Path | None = None) -> Settings:
    """Read the settings for commands that accept no callbacks; [authentication] and [oauth] are ignored."""
    other_variables = {
        name: value for name, value in os.environ.items() if not _configures_authentication(name.removesuffix("_FILE"))
    }
    return _load(file, other_variables, authentication={"allow_anyone": True}, oauth={})


def _load(file: Path | None, environment: Mapping[str, str], **replaced: Any) -> Settings:
    """Read the settings; the tables in `replaced` replace those of the file."""
    problems: list[str] = []
    # If the table were missing, its default would be created and fail separately from all other problems.
    given = {"authentication": {}, **(_read_toml(file, problems) if file else {}), **replaced}
    variables = _read_environment(environment, problems)
    try:
        settings = Settings(**given, environment=variables)  # type: ignore[call-arg]
    except ValidationError as invalid:
        # A dict removes duplicates: a client property of a wrong type fails once for each type that it could have.
        problems += dict.fromkeys(_problem(error) for error in invalid.errors(include_input=False, include_url=False))
    if problems:
        raise ConfigurationInvalid(problems)
    return settings


def _configures_authentication(name: str) -> bool:
    tables = (f"{PREFIX}AUTHENTICATION__", f"{PREFIX}OAUTH__")
    return name.startswith(tables) and is_variable(name)


def environment_names() -> frozenset[str]:
    """Return the environment variable of every setting, without the open-ended ones of client properties."""
    return frozenset(f"{PREFIX}{table.upper()}__{name.upper()}" for table, name in _names())


def is_variable(name: str) -> bool:
    """Return whether an environment variable, without `_FILE`, sets a setting."""
    own = name.removeprefix(PREFIX)
    return name in environment_names() or own.startswith(PASS_THROUGH) or OPEN_ENDED.fullmatch(own) is not None


def _names() -> Iterator[tuple[str, str]]:
    for table, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for name, inner in model.model_fields.items():
            if f"{table.upper()}__{name.upper()}__" not in PASS_THROUGH:
                assert inner.annotation is not None
                yield table, name


def _read_toml(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read ({error.strerror}); check the path given to --config")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: is not TOML: {error}")
    return {}


def _read_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Return our variables, with the content of files in place of `..._FILE`; report unknown names."""
    variables: dict[str, str] = {}
    for name, value in environment.items():
        if not name.startswith(PREFIX) or _SERVICE_LINK.fullmatch(f"{name}={value}"):
            continue
        plain = name.removesuffix("_FILE")
        if not is_variable(plain):
            problems.append(f"{name}: there is no such setting; config/connector.toml lists them all")
        elif plain == name:
            variables[name] = value
        elif plain in environment:
            problems.append(f"{name}: {plain} is set too; keep one of them")
        else:
            try:
                variables[plain] = Path(value).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{name}: the file cannot be read ({getattr(error, 'strerror', 'not UTF-8')})")
    return variables


def _problem(error: Mapping[str, Any]) -> str:
    location = [str(part) for part in error["loc"]]
    where = ".".join(location)
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such setting; config/connector.toml lists them all"
    if len(location) == 4 and "__".join(location[:2]).upper() + "__" in PASS_THROUGH:
        return f"{'.'.join(location[:3])}: is not a text, a number, true or false"
    words = _WORDS.get(error["type"])
    return f"{where}: {words.format(**error.get('ctx', {})) if words else error['msg'].removeprefix('Value error, ')}"
