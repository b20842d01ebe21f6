"""The errors of a command in, messages on stderr and an exit code out. Never a traceback.

0: success. 1: the other side failed, or the output could not be written. 2: wrong usage or configuration. 130: ended by Ctrl-C.
"""

import asyncio
import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from connector.commands import show
from connector.errors import ConfigurationInvalid, OtherSideFailed


def run(command_line: Callable[[], None]) -> None:
    """Run the command line; convert errors to messages and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        _replace_what_it_cannot_show(stream)
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
        sys.exit(1)
    except OSError as error:
        # For example a full disk. Where a file of ours can fail, the room that opens it reports it by name.
        show.problem(f"a file or the output cannot be written or read: {error.strerror or type(error).__name__}")
        sys.exit(1)
    finally:
        _flush()


def _replace_what_it_cannot_show(stream: TextIO) -> None:
    """Make a stream write `?` for a character that its encoding lacks: with LC_ALL=C it would raise an error."""
    # Not one: a test's buffer, or None if the caller has closed it.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def _flush() -> None:
    """Write what is left of the output; if its reader has exited (`head`) or the disk is full, exit with 1, silently.

    Python flushes again at exit, and would print a traceback: the output then goes to /dev/null.
    """
    is_written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            is_written = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if not is_written:
        sys.exit(1)
