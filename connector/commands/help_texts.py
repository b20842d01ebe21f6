"""The command line in, the same with plain types in its help out: `TEXT` instead of `<list[str]>`, nothing for a flag."""

from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import typer
from typer.core import TyperGroup
from typer.main import get_command

_WORDS: Final[dict[Any, str]] = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}


def with_plain_types(app: typer.Typer) -> Any:
    """Return the command of an app, whose help names types as other programs do."""
    command: Any = get_command(app)
    _rename(command)
    return command


def _rename(command: Any) -> None:
    # The library caches the option --help in the command.
    for parameter in command.get_params(typer.Context(command)):
        # Not `metavar`, which an argument shows beside its type.
        parameter.display_type_rich = partial(_shown, _word(parameter))
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            _rename(inner)


def _shown(word: str | None, ctx: Any) -> str | None:
    """Stand in for the library's method, which names the type as in Python."""
    del ctx
    return word


def _word(parameter: Any) -> str | None:
    """Return the word for a parameter's type; None for a flag, and for an argument, whose name says it."""
    if parameter.param_type_name == "argument" or parameter.is_flag:
        return None
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = parameter.type_descriptor.annotation
    return next(_WORDS[kind] for kind in (annotation, *get_args(annotation)) if kind in _WORDS)
