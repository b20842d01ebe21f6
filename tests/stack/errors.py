"""What can go wrong with the stack: a part cannot be had here, or a part that was started failed.

StackError
├── StackUnavailable: this machine lacks something; the message is one line and says how to get it
│   └── JavaNotFound
└── ServerFailed: a server was started and ended early, never answered, or did not end
    └── PortTaken: another process bound its port first
"""


class StackError(Exception):
    """Base of every error of the stack."""


class StackUnavailable(StackError):
    """A part of the stack cannot be had on this machine."""


class JavaNotFound(StackUnavailable):
    """No Java runtime is new enough."""


class ServerFailed(StackError):
    """A started server ended early, never answered, or did not end on request."""


class PortTaken(ServerFailed):
    """A started server ended because its port was in use."""
