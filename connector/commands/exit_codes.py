"""The errors of a command in, messages on stderr and an exit code out. Never a traceback.

0: success. 1: the other side failed. 2: wrong usage or configuration. 130: ended by Ctrl-C.
"""

import asyncio
import sys
from collections.abc import Callable

from connector.commands import show
from connector.errors import ConfigurationInvalid, OtherSideFailed


def run(command_line: Callable[[], None]) -> None:
    """Run the command line; convert errors to messages and an exit code."""
    if not show.out.is_terminal:
        # Output to a file or a pipe must not wrap at the width of a terminal.
        show.out.width = 160
    try:
        command_line()
    except ConfigurationInvalid as invalid:
        for line in invalid.problems:
            show.problem(line)
        sys.exit(2)
    except OtherSideFailed as failed:
        show.problem(str(failed))
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except BrokenPipeError:
        # The program that reads our output has exited, for example `head`.
        sys.stderr.close()
        sys.exit(0)
