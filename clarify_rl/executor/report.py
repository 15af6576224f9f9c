"""What the fork server tells the caller about a finished process. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """How a process ended. `why` says who ended it: "" itself, or cpu, wall, idle, cancelled, done (with its judge).

    `wall_s` is from the request to the report, by the caller's clock.
    """

    exit: int
    cpu_s: float
    wall_s: float
    why: str
