"""`python -m connector`, and the console script: Ctrl-C ends it without a traceback, even during the imports."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        if sys.argv[1:2] == ["health"]:
            from connector.health import quick  # noqa: PLC0415 - takes a tenth of the time of the next import

            code = quick(sys.argv[2:])
            if code is not None:
                sys.exit(code)
        from connector.cli import main as run  # noqa: PLC0415 - takes a second, in which Ctrl-C must work too

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
