"""How many threads a run computes with: as many as the machine has to give, not as many as it has.

Threads that compute together wait for each other by spinning. Where other programs want the same cores, each wait lasts
until the scheduler lets the last one in. Measured in turns with the embedded model on two cores: idle, two threads
generate 1.7 times as much as one; beside six busy programs a third of it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.3
_ASKED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Threads:
    """How many threads, and why."""

    count: int
    why: str

    def __str__(self) -> str:
        return f"{self.count} thread{'s' if self.count > 1 else ''}: {self.why}"

    def apply(self) -> None:
        """For torch in this process, and by the environment for those that it starts."""
        import torch

        torch.set_num_threads(self.count)
        os.environ.setdefault(_ASKED[0], str(self.count))


def choose_threads(processes: int = 1, before: int | None = None) -> Threads:
    """For each of so many processes: what OMP_NUM_THREADS asks for, else the cores that nobody else uses just now.

    Half a core that others use counts as a whole one: a thread on it would hold up all the others. `before` is what a
    run that goes on has had.
    """
    for name in _ASKED:
        if os.environ.get(name, "").isdecimal() and int(os.environ[name]) > 0:
            return Threads(int(os.environ[name]), f"{name} says so")
    if before:
        return Threads(before, "as this run began")
    cores = available_cores()
    used = busy_cores()
    free = cores if used is None else max(1, cores - round(used + 0.25))
    shared = f", shared by {processes} learners" if processes > 1 else ""
    others = "" if used is None else f", of which others use {used:.1f} now"
    return Threads(max(1, free // processes), f"{cores} cores{others}{shared} (OMP_NUM_THREADS=N for another number)")


def available_cores() -> int:
    """The cores that this process may run on, within what its container is given."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def busy_cores() -> float | None:
    """How many cores of this machine are at work, over a moment in which this process rests; None if unknown."""
    before = _worked()
    time.sleep(SAMPLE_S)
    after = _worked()
    if before is None or after is None:
        return None
    return max(0.0, after - before) / os.sysconf("SC_CLK_TCK") / SAMPLE_S


def _worked() -> int | None:
    """Clock ticks that all cores together have worked since the machine started."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
    except (OSError, ValueError, IndexError):
        return None
    return user + nice + system + irq + softirq + steal
