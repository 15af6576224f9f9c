"""Weights that change while RL trains: rewards that help in the beginning and are faded out, or the other way round."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

from clarify_rl.config import RewardConfig
from clarify_rl.types import Episode, Score


def factor(schedule: Mapping[int, float], step: int) -> float:
    """What the schedule multiplies a weight by at a step: straight lines between its points, and level beyond them."""
    if not schedule:
        return 1.0
    steps = sorted(schedule)
    place = bisect_right(steps, step)
    if place in (0, len(steps)):
        return schedule[steps[min(place, len(steps) - 1)]]
    before, after = steps[place - 1], steps[place]
    way = (step - before) / (after - before)
    return (1 - way) * schedule[before] + way * schedule[after]


def at_step(episodes: Sequence[Episode], rewards: Sequence[RewardConfig], step: int) -> list[Episode]:
    """The episodes with each score's weight as it is at this step; the very same where nothing is scheduled."""
    if not any(item.schedule for item in rewards):
        return list(episodes)
    factors = [factor(item.schedule, step) for item in rewards]
    return [replace(episode, scores=_weighted(episode.scores, factors)) for episode in episodes]


def _weighted(scores: Sequence[Score], factors: Sequence[float]) -> tuple[Score, ...]:
    if len(scores) != len(factors):  # one stands for all where a worker was lost
        return tuple(scores)
    return tuple(replace(score, weight=score.weight * by) for score, by in zip(scores, factors, strict=True))
