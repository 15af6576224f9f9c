"""Weights over the steps of RL."""

from __future__ import annotations

import pytest

from clarify_rl.config import RewardConfig
from clarify_rl.training.schedules import at_step, factor
from clarify_rl.types import Episode, Score, Stop
from tests.dialogues import CLEAR


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (10, 1.0), (15, 0.75), (20, 0.5), (30, 0.25), (40, 0.0), (99, 0.0)]
)
def test_a_schedule_goes_straight_from_point_to_point_and_level_beyond(step: int, expected: float) -> None:
    assert factor({40: 0.0, 10: 1.0, 20: 0.5}, step) == pytest.approx(expected)


def test_the_weighted_sum_follows_the_schedule() -> None:
    episode = Episode("e", CLEAR, 0, (), Stop.CODE, scores=(Score("pass_rate", 1.0, 1.0), Score("brevity", 0.5, 0.4)))
    rewards = (RewardConfig(use="pass_rate"), RewardConfig(use="brevity", weight=0.4, schedule={0: 1.0, 10: 0.0}))
    assert [at_step([episode], rewards, step)[0].reward for step in (0, 5, 10)] == pytest.approx([1.2, 1.1, 1.0])
    assert at_step([episode], (), 5) == [episode]
