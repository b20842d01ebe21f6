"""`connector serve`: runs the bridge, for production."""

from typing import Annotated

import typer
import uvloop

from connector import logs
from connector.commands.options import Config
from connector.instance.preflight import load_and_check
from connector.instance.supervisor import Supervisor

app = typer.Typer()


@app.command()
def serve(
    config: Config = None, workers: Annotated[int, typer.Option(min=1, max=64, help="Number of worker processes.")] = 1
) -> None:
    """Run the bridge."""
    loaded = load_and_check(config)
    logs.configure(loaded.logs)
    raise typer.Exit(uvloop.run(Supervisor(loaded, config, workers).run()))
