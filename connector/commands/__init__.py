"""What the command line does, one module a command or a group of commands."""
