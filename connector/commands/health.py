"""`connector health`: an exit code for health checks. The check itself, and how it starts fast, is in connector/health.py."""

from typing import Annotated

import typer

from connector.commands.options import AsJson, Config
from connector.health import check, is_output

app = typer.Typer()


@app.command()
def health(
    *,
    config: Config = None,
    live: Annotated[bool, typer.Option("--live", help="Ask /healthz: whether the process runs, ready or not.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a running bridge whether it is ready: exit code 0 or 1, for health checks of containers and systemd."""
    code, line = check(config, is_live=live, as_json=as_json)
    typer.echo(line, err=not is_output(code, as_json=as_json))
    raise typer.Exit(code)
