"""How often each variant was solved when it was last played, and how much that makes it worth playing again.

All of it follows from the episodes on record up to the present step, so a resumed run that reads them back, up to its
checkpoint, knows what the uninterrupted one knew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from clarify_rl.store import PastEpisode
from clarify_rl.types import Variant


@dataclass(frozen=True)
class LastPlayed:
    """A variant's measured rollouts in the last step in which it was played."""

    step: int
    measured: int = 0
    solved: int = 0


@dataclass
class SolveRates:
    """The latest solve rate of every variant that was played."""

    latest: dict[str, LastPlayed] = field(default_factory=dict)

    def add(self, outcomes: Iterable[PastEpisode]) -> None:
        """Takes note of episodes. What was known from earlier steps is forgotten: the policy was another one then."""
        for outcome in outcomes:
            if outcome.solved is None:
                continue
            before = self.latest.get(outcome.variant)
            if before is None or before.step != outcome.step:
                before = LastPlayed(outcome.step)
            self.latest[outcome.variant] = LastPlayed(outcome.step, before.measured + 1, before.solved + outcome.solved)

    def weight(self, variant: Variant) -> float:
        """How much a variant is worth playing: 4p(1-p), which is 1 where half of the rollouts solve it.

        p(1-p) is the variance of "solved" within a group, which is what a group learns from. p is (solved + 1/2) /
        (measured + 1), so a variant that was never played has p = 1/2 and weighs most, and one that was always or never
        solved keeps some weight (0.21 after 8 rollouts): it is looked at again when the policy has changed.
        """
        known = self.latest.get(variant.id, LastPlayed(0))
        p = (known.solved + 0.5) / (known.measured + 1)
        return 4 * p * (1 - p)
