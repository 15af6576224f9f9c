"""What one program may use, and what it may reach. Shared by the caller and the fork server. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from clarify_rl.errors import ExecutorError

MIN_MEMORY_MB = 128


@dataclass(frozen=True)
class Limits:
    """What one program may use, over all its tests together."""

    cpu_s: float = 2.0
    """Processor seconds, of all its threads together. This is what decides a timeout."""
    wall_s: float = 60.0
    """Seconds by the clock: only a backstop, since a busy machine makes them meaningless."""
    idle_s: float = 5.0
    """Seconds asleep: neither running nor waiting for a processor. Known where the executor sees /proc (tier A)."""
    memory_mb: int = 512
    """Address space in MiB, interpreter included; at least 128."""
    output_mb: int = 4
    """Size in MiB of all results together, as they are sent back."""
    files_mb: int = 0
    """Size in MiB of a private /tmp, emptied after each program; 0: a program can write no file at all."""
    threads: int = 16
    """Threads at one time, the first one included. A program can start no other process."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            allowed: tuple[type, ...] = (int, float) if limit.name in ("cpu_s", "wall_s", "idle_s") else (int,)
            if type(value) not in allowed or not math.isfinite(value) or value < 0:
                raise ExecutorError(f"{limit.name} must be a positive number, found {value!r}.")
        for name, least in (
            ("cpu_s", 0.01),
            ("idle_s", 0.1),
            ("memory_mb", MIN_MEMORY_MB),
            ("output_mb", 1),
            ("threads", 1),
        ):
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


@dataclass(frozen=True)
class Profile:
    """What programs find beside the standard library. Naming packages makes them readable to every program.

    `python` is an interpreter, for instance of a virtual environment; `preload` names modules that are imported once,
    in the fork server, which makes them cheap to import in programs.
    """

    python: str = ""
    packages: bool = False
    preload: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What a fork server is started with: plain data, sent once."""

    limits: Limits = Limits()
    profile: Profile = Profile()
    without: tuple[str, ...] = ()
