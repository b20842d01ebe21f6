"""The command line in, docs/reference/commands.md out: every command with its arguments and options."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from typer.core import TyperGroup
from typer.main import get_command

from connector.cli import app
from supply.reference import markdown
from supply.reference.markdown import code, codes

_KINDS: Final[Mapping[Any, str]] = {str: "text", int: "integer", float: "number", Path: "path"}

_INTRODUCTION: Final = """\
# Commands

{notice}
`connector COMMAND --help` shows the same. Every command that needs settings takes `--config`; see [settings](settings.md).

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | the other side failed: Kafka, the registry or the bridge; or a check found an error (`explain --strict`, `doctor`) |
| 2 | wrong use or wrong settings; each problem is a line on stderr |
| 130 | interrupted by Ctrl-C |
"""


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its words, groups included."""
    command = command or get_command(app)
    yield path, command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


def page() -> str:
    """Return the whole page."""
    notice = markdown.notice("make docs", f"{markdown.link('connector/cli.py')} and `connector/commands/`")
    leaves = [(path, command) for path, command in commands() if not isinstance(command, TyperGroup)]
    overview = [(f"[{_name(path)}](#{'-'.join(('connector', *path))})", command.help) for path, command in leaves]
    return "\n".join(
        (
            _INTRODUCTION.format(notice=notice),
            markdown.table(("command", "does"), overview),
            *(_section(path, command) for path, command in leaves),
        )
    )


def _name(path: tuple[str, ...]) -> str:
    return code(" ".join(("connector", *path)))


def _section(path: tuple[str, ...], command: Any) -> str:
    context = command.make_context(" ".join(("connector", *path)), [], resilient_parsing=True)
    usage = command.get_usage(context).removeprefix("Usage: ")
    shown = f"## connector {' '.join(path)}\n\n{command.help}\n\n```\n{usage}\n```\n"
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    return shown + ("\n" + markdown.table(("parameter", "value", "default", "meaning"), rows) if rows else "")


def _row(parameter: Any) -> tuple[str, ...]:
    is_option = parameter.param_type_name == "option"
    names = (*parameter.opts, *parameter.secondary_opts) if is_option else (parameter.metavar or parameter.name.upper(),)
    return codes(names), _value(parameter), _default(parameter), parameter.help


def _value(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return "flag"
    kind = parameter.metavar if parameter.metavar and parameter.param_type_name == "option" else _kind(parameter)
    if parameter.min is not None:
        kind += f", {parameter.min} to {parameter.max}" if parameter.max is not None else f", at least {parameter.min}"
    return kind + (", repeatable" if parameter.multiple or parameter.nargs == -1 else "")


def _kind(parameter: Any) -> str:
    """Return the type of the value in words, from the annotation of the function's parameter."""
    annotation = parameter.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return codes(get_args(annotation))
    for kind in (annotation, *get_args(annotation)):
        if kind in _KINDS:
            return _KINDS[kind]
    raise TypeError(f"{parameter.name}: a type without a word for it: {annotation}")


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    given = parameter.default
    return code(given) if isinstance(given, str | int | float) and not isinstance(given, bool) else ""
