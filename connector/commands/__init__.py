"""The commands: one module for each command or group, with its options, as a typer app that cli.py assembles.

The commands share options.py, resources.py, exit_codes.py and show.py. Only cli.py may import a command.
"""
