"""The bank as a source: its complete problems, for whatever takes any source.

A run draws unclear variants from the bank itself (`bank` under `data.*.sources`), since its families know their facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clarify_rl.problems.bank.draw import Split, draws, family_named, make_problem
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.registry import source
from clarify_rl.types import Problem

_TRIES = 50  # for each problem that is wanted


@source("bank")
@dataclass(frozen=True)
class Bank:
    """`count` different problems of one split; `families` by name (none: all), `seed` for others."""

    count: int = 1000
    split: Split = "train"
    families: tuple[str, ...] = ()
    seed: int = 0

    def read(self) -> Iterator[Problem]:
        """Fewer where the families do not have as many. Raises DataError for a family that the bank does not have."""
        families = [family_named(name) for name in self.families] or FAMILIES
        seen: set[str] = set()
        for _, draw in zip(range(_TRIES * self.count), draws(families, self.split, self.seed), strict=False):
            problem = make_problem(draw, self.seed) if draw.problem_id not in seen else None
            if problem is not None:
                seen.add(problem.id)
                yield problem
            if len(seen) >= self.count:
                return
