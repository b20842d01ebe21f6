"""The commands of `connector schemas`, in the order of its help."""

import typer

from connector.commands.schemas import compare, ddl, docs, export, register

app = typer.Typer(name="schemas", help="Check, compare and register our schemas.", no_args_is_help=True)
for part in (compare, register, export, ddl, docs):
    app.add_typer(part.app)
