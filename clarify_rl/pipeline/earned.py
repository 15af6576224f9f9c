"""What episodes earned: the values of one reward, and means that leave out what was not measured."""

from __future__ import annotations

from collections.abc import Iterable

from clarify_rl.types import Episode


def values_of(episodes: Iterable[Episode], reward: str) -> list[float | None]:
    """The values that a reward gave where it applies, in the episodes' order; None: it could not be measured."""
    return [score.value for episode in episodes for score in episode.scores if score.name == reward and score.applies]


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of the measured values; None where there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
