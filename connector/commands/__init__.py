"""The command line: one module for each command or group, with its options, as a typer app that cli.py assembles.

Beside them: options.py, resources.py, exit_codes.py and show.py, which they share. Only cli.py may import a command.
"""
