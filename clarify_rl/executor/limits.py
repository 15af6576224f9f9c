"""What one program may use. Shared by the caller and the fork server. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from clarify_rl.errors import ExecutorError

MIN_MEMORY_MB = 128


@dataclass(frozen=True)
class Limits:
    """What one program may use, over all its tests together."""

    cpu_s: float = 2.0
    """Processor seconds, of the program and every process it starts. This is what decides a timeout."""
    wall_s: float = 20.0
    """Seconds by the clock: only a backstop, since a busy machine makes them meaningless."""
    memory_mb: int = 512
    """Address space in MiB, interpreter included; at least 128."""
    output_mb: int = 4
    """Size in MiB of all results together, as they are sent back."""
    files_mb: int = 1
    """Size in MiB of the largest file that the program may write; 0 forbids writing."""
    processes: int = 16
    """Processes and threads at one time, the program itself included."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            allowed: tuple[type, ...] = (int, float) if each.name in ("cpu_s", "wall_s") else (int,)
            if type(value) not in allowed or not math.isfinite(value) or value < 0:
                raise ExecutorError(f"{each.name} must be a positive number, found {value!r}.")
        for name, least in (("cpu_s", 0.01), ("memory_mb", MIN_MEMORY_MB), ("output_mb", 1), ("processes", 1)):
            if getattr(self, name) < least:
                raise ExecutorError(f"{name} must be at least {least}, found {getattr(self, name)}.")
        if self.wall_s < self.cpu_s:
            raise ExecutorError(
                f"wall_s ({self.wall_s}) must not be below cpu_s ({self.cpu_s}); try wall_s={10 * self.cpu_s}."
            )

    @property
    def memory_bytes(self) -> int:
        return self.memory_mb << 20

    @property
    def output_bytes(self) -> int:
        return self.output_mb << 20
