"""The numbers of a batch of rollouts: what nobody could measure is left out, never 0."""

from dataclasses import replace

import pytest

from clarify_rl.training.rollout_metrics import rollout_metrics
from clarify_rl.types import Episode, Score, Stop
from tests.dialogues import ASC, ASK, CLEAR, DESC, UNCLEAR, play

LOST = Episode("lost", CLEAR, 0, (), Stop.FAILED, failure="worker died", scores=(Score("pool", None),))


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return play((UNCLEAR, [ASK, DESC]), (UNCLEAR, [ASC]), (CLEAR, [DESC]), (CLEAR, ["Why?", ""]))


def test_shares_are_over_the_episodes_that_they_are_about(episodes: list[Episode]) -> None:
    numbers = rollout_metrics(episodes)
    assert numbers["rollout/episodes"] == 4
    assert numbers["episode/solved"] == 0.5
    assert numbers["episode/solved_unclear"] == 0.5
    assert numbers["episode/asked_unclear"] == 0.5
    assert numbers["episode/asked_clear"] == 0.5
    assert numbers["episode/revealed"] == 0.5
    assert numbers["episode/questions"] == 0.5
    assert numbers["episode/malformed"] == 0.25
    assert numbers["reward/useful_question"] == 0.25


def test_lost_episodes_are_counted_and_change_no_other_number(episodes: list[Episode]) -> None:
    before, after = rollout_metrics(episodes), rollout_metrics([*episodes, LOST, replace(LOST, variant=UNCLEAR)])
    assert (after["rollout/episodes"], after["rollout/failed"]) == (6, 2)
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {"rollout/episodes", "rollout/failed"}
    assert "reward/pool" not in after


def test_an_episode_whose_reward_could_not_be_measured_counts_as_failed(episodes: list[Episode]) -> None:
    """The run stops where there are too many of them, so the number that warns before must hold them."""
    unscored = replace(episodes[0], scores=(*episodes[0].scores, Score("judge", None)))
    assert unscored.measured
    numbers = rollout_metrics([unscored, *episodes[1:], LOST])
    assert (numbers["rollout/episodes"], numbers["rollout/failed"]) == (5, 2)
    assert numbers["episode/solved"] == 0.5


def test_what_nothing_tells_is_left_out() -> None:
    numbers = rollout_metrics(play((CLEAR, [DESC])))
    assert not [name for name in numbers if name.endswith("unclear")]
    assert "episode/revealed" not in numbers
    assert "episode/solved" not in rollout_metrics([LOST])
