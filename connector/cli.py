"""The command line: the commands of commands/ in the order of the help. Exit codes: commands/exit_codes.py."""

from typing import Annotated

import typer

from connector import __version__
from connector.commands import (
    asyncapi,
    dev,
    doctor,
    exit_codes,
    explain,
    forget,
    health,
    openapi,
    privacy,
    replay,
    send,
    serve,
    show,
    tail,
    topics,
)
from connector.commands.help_texts import with_plain_types
from connector.commands.schemas import group as schemas

app = typer.Typer(
    help="Kaleyra WhatsApp callbacks in, typed Avro records on Kafka topics out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (serve, health, dev, explain, send, tail, doctor, privacy, forget, schemas, topics, replay, asyncapi, openapi):
    app.add_typer(command.app)


@app.callback(invoke_without_command=True)
def _version(*, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        show.out.print(f"connector {__version__}", highlight=False)
        raise typer.Exit


def main() -> None:
    """Run a command."""
    # Shell completion uses this name; `python -m connector` would use another one.
    exit_codes.run(lambda: with_plain_types(app)(prog_name="connector"))


if __name__ == "__main__":
    main()
