"""What the fork server tells the caller about a finished child. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """How a child ended. `why` says who ended it: "" itself, or cpu, wall, cancelled."""

    exit: int
    cpu_s: float
    wall_s: float
    why: str
