"""A server of the stack as one Java process: started until it answers, stopped, killed, frozen, started again.

No process outlives the test run: each is stopped by its owner, and if the run itself is killed, by the kernel. A server
keeps its folder and its ports over restarts. It listens on 127.0.0.1 alone.
"""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

from tests.stack.errors import PortTaken, ServerFailed
from tests.stack.ports import free_ports

READY_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 30.0
LOG_TAIL_LINES = 60

_START_ATTEMPTS = 3
_TIED = Path(__file__).with_name("die_with_parent.py")


class JavaServer(ABC):
    """One server process, its folder, its ports and its log file. As a context manager: started, then stopped."""

    name: ClassVar[str]
    port_count: ClassVar[int]
    port_taken_message: ClassVar[str]
    """What the server's log says when its port is in use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()  # the process works in it
        self.log_file = self.folder / f"{self.name}.log"
        self._ports = free_ports(self.port_count)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._is_known = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._running_process().pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it answers; a second start has the same ports and the data kept.

        Raises:
            StackUnavailable: Java or the server's files cannot be had.
            ServerFailed: it ended early or did not answer in time; the message has the end of its log.
        """
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._start_once()
            except PortTaken:
                if attempt == _START_ATTEMPTS:
                    raise
                self._evade()
            else:
                self._is_known = True
                return

    def stop(self) -> None:
        """End the server by SIGTERM, thawed first if it is frozen; without effect when it does not run.

        Raises:
            ServerFailed: it did not end in time and was killed.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failure(ServerFailed, f"did not end within {STOP_TIMEOUT_SECONDS:g} s of SIGTERM") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """End the server by SIGKILL: it has no time to write or to say goodbye. Without effect when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop and start again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the process (SIGSTOP): its connections stay open and nothing answers."""
        process = self._running_process()
        process.send_signal(signal.SIGSTOP)
        # Returns when all threads are stopped. WNOWAIT leaves the exit status, if it is that, to Popen.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a frozen process go on (SIGCONT). It may need a moment to answer: `wait_until_ready`."""
        self._running_process().send_signal(signal.SIGCONT)

    def wait_until_ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        """Return when the server answers.

        Raises:
            ServerFailed: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            self.check_running()
            if self._answers():
                return
            time.sleep(0.1)
        raise self._failure(ServerFailed, f"did not answer within {timeout_seconds:g} s")

    def check_running(self) -> None:
        """Raise if the process has ended by itself.

        Raises:
            ServerFailed: it has; PortTaken, if its log says so.
        """
        if not self.is_running:
            is_port_taken = self.port_taken_message in self._log_since_start()
            raise self._failure(PortTaken if is_port_taken else ServerFailed, "ended by itself")

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """Return the last lines of the server's log."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    @abstractmethod
    def _prepare(self) -> None:
        """Write what the server reads at its start."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the program and its arguments."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """Return the environment of the process."""

    @abstractmethod
    def _answers(self) -> bool:
        """Ask the server something that only this very process, when ready, answers rightly."""

    def _start_once(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._prepare()
        self._process = _spawn(self._command(), self._environment(), self.folder, self.log_file)
        try:
            self.wait_until_ready()
        except BaseException:  # an interrupted start leaves no process either
            self.kill()
            raise

    def _evade(self) -> None:
        if self._is_known:
            time.sleep(1)  # clients know the address: it cannot change, but the port may come free
        else:
            self._ports = free_ports(self.port_count)

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process

    def _log_since_start(self) -> str:
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", errors="replace")

    def _failure(self, error: type[ServerFailed], what: str) -> ServerFailed:
        return error(f"{self.name} {what}; the end of {self.log_file}:\n{self.log_tail()}")


def _spawn(command: Sequence[str], environment: Mapping[str, str], folder: Path, log_file: Path) -> subprocess.Popen[bytes]:
    tied = [sys.executable, "-I", "-S", str(_TIED), str(os.getpid()), *command]
    with log_file.open("ab") as log:
        return (
            _spawning_thread()
            .submit(
                subprocess.Popen,
                tied,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal goes to the whole group; a server is to be stopped by its owner, in order.
                start_new_session=True,
            )
            .result()
        )


@cache
def _spawning_thread() -> ThreadPoolExecutor:
    # The kernel ties a process to the thread that started it, and a test may call start() in a thread that ends soon.
    # This one lives as long as the interpreter.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")
