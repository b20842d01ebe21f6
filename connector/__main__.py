"""`python -m connector`, and the console script: Ctrl-C ends it without a traceback, even during the imports."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from connector.cli import main as run  # noqa: PLC0415 - takes a second, in which Ctrl-C must work too

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
