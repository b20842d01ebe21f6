"""`python -m tests.faults.scenarios.serve_with_fake_clock serve --workers N`: `serve` with a clock that can be set."""

import sys

import uvloop

from connector import logs
from connector.instance.supervisor import Supervisor
from connector.settings.load import load_settings


def main() -> int:
    """Serve; return the exit code."""
    loaded = load_settings()
    logs.configure(loaded.logs)
    return uvloop.run(Supervisor(loaded, None, int(sys.argv[3]), worker="tests.faults.scenarios.worker").run())


if __name__ == "__main__":
    sys.exit(main())
