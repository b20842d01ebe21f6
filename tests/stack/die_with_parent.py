"""Become the given command, which the kernel kills when the thread that started it ends (Linux).

Run as a program, `python tied.py <pid of the starter> <program> <arguments>`, and not as a preexec_fn: code between
fork and exec can deadlock in a process with other threads, and every Kafka client brings some.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def become(starter: int, command: list[str]) -> None:
    """Replace this process with the command; it keeps the process id."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # SIGKILL, because it also ends a process that is frozen by SIGSTOP.
    if prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != starter:
        sys.exit("the starter ended before")
    os.execv(command[0], command)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
