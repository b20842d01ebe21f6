"""Assigns cores: separate ones for the server, one for the load where there is one to spare, the rest for the broker."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """Numbers of logical processors. Load and broker share theirs where only one is left."""

    server: tuple[int, ...]
    load: tuple[int, ...]
    broker: tuple[int, ...]

    def described(self) -> str:
        """Say it in words."""
        if self.load == self.broker:
            return f"server on {len(self.server)} core(s), load and broker together on {len(self.broker)}"
        return f"server on {len(self.server)} core(s), load on {len(self.load)}, broker on {len(self.broker)}"


def share_out(server_cores: int = 1) -> Cores | None:
    """Return the cores of this machine: as many for the server as are wanted and can be had; None if there is but one."""
    return divided(sorted(os.sched_getaffinity(0)), server_cores)


def divided(cores: list[int], server_cores: int) -> Cores | None:
    """Divide them; one is left for load and broker, two where that costs the server none that it needs."""
    if len(cores) < 2:
        return None
    count = min(server_cores, max(1, len(cores) - 2))
    server, rest = tuple(cores[:count]), tuple(cores[count:])
    return Cores(server, rest[:1], rest[1:] or rest)


def keep_to(cores: Cores) -> None:
    """Keep this process, and the broker and registry that it starts, to the broker's cores."""
    os.sched_setaffinity(0, cores.broker)
