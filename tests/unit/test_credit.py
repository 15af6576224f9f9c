"""Credit, on episodes made by hand: which turn gets what, from the scores of a group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clarify_rl.config import Config
from clarify_rl.config_files import load_config
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.rl_sections import CreditSection, RLSection
from clarify_rl.training.credit import (
    by_turn,
    credit_of,
    outcome,
    rewards_to_go,
    to_go,
    token_advantages,
    token_rewards,
    turn_of_token,
    turn_scores,
)
from clarify_rl.training.rl import rl_config
from clarify_rl.types import Answer, Episode, Opening, Reply, ReplyKind, Score, Stop, Turn
from tests.dialogues import UNCLEAR

ASKS = Turn(Reply("What?", ReplyKind.QUESTION, ("What?",)), Answer("So."))
CODES = Turn(Reply("```python\n```", ReplyKind.CODE, code=""))


def episode(passed: float | None, *useful: int, opening: Opening | None = None, mask: Sequence[int] = ()) -> Episode:
    """One that asked a question for each entry of `useful`, which says what it revealed, and then coded."""
    scores = (
        Score("pass_rate", passed, 1.0),
        Score("useful_question", float(sum(useful)), 0.3, by_turn=(*map(float, useful), 0.0)),
    )
    turns = (*[ASKS] * len(useful), CODES)
    return Episode("e", UNCLEAR, 0, turns, Stop.CODE, scores=scores, opening=opening, policy_mask=tuple(mask))


def test_a_reward_is_what_its_turns_earned_and_the_outcome() -> None:
    asked = episode(0.5, 1, 0)
    assert turn_scores(asked) == pytest.approx((0.3, 0.0, 0.0))
    assert outcome(asked) == pytest.approx(0.5)
    assert rewards_to_go(asked) == pytest.approx((0.8, 0.5, 0.5))
    assert asked.reward == pytest.approx(rewards_to_go(asked)[0])


def test_the_first_turn_to_go_is_judged_as_the_episode_is() -> None:
    group = [episode(1.0, 1), episode(0.0, 0), episode(0.5)]
    mean = sum(item.reward or 0.0 for item in group) / 3
    firsts = [turns[0] for turns in to_go(group, scaled=False)]
    assert firsts == pytest.approx([(item.reward or 0.0) - mean for item in group])


def test_to_go_does_not_blame_the_code_for_the_question_before_it() -> None:
    good_code_after_a_poor_question, poor_code_after_a_good_one = to_go([episode(1.0, 0), episode(0.0, 1)])
    assert good_code_after_a_poor_question[1] > 0 > poor_code_after_a_good_one[1]


def test_to_go_compares_a_turn_that_no_other_came_to_by_the_whole_episode() -> None:
    group = [episode(1.0, 1, 1), episode(0.0), episode(0.0)]
    (first, second, third), *_ = to_go(group, scaled=False)
    assert first == second == third == pytest.approx(1.6 - 1.6 / 3)


def test_by_turn_a_question_is_judged_by_what_it_revealed_and_half_of_what_came_of_it() -> None:
    useful, useless = by_turn([episode(0.0, 1), episode(1.0, 0)], share=0.5, scaled=False)
    assert useful == pytest.approx((0.15 - 0.5 * 0.5, -0.5))
    assert useless == pytest.approx((-0.15 + 0.5 * 0.5, 0.5))
    (alone, _), _ = by_turn([episode(0.0, 1), episode(1.0, 0)], share=0.0, scaled=False)
    assert alone == pytest.approx(0.15)


@pytest.mark.parametrize("credit", [to_go, by_turn])
def test_a_group_whose_rewards_are_all_but_equal_is_not_blown_up(credit: Any) -> None:
    equal_by_chance = [episode(0.3, 0), episode(0.0, 1), episode(0.3, 0), episode(0.0, 1)]
    assert max(abs(value) for turns in credit(equal_by_chance) for value in turns) < 2
    the_same = [episode(1.0, 1)] * 4
    assert all(value == pytest.approx(0.0) for turns in credit(the_same) for value in turns)


@pytest.mark.parametrize("credit", [to_go, by_turn])
def test_weights_keep_their_meaning_under_the_deviation(credit: Any) -> None:
    """A score of little weight moves its turn little, where a deviation of its own would make it as loud as any."""
    soft = [replace(item, scores=(item.scores[0], replace(item.scores[1], weight=0.001))) for item in (
        episode(1.0, 1), episode(0.0, 0), episode(1.0, 0), episode(0.0, 1))]  # fmt: skip
    (first, *_), _, (third, *_), _ = credit(soft)
    assert abs(first - third) < 0.01


@pytest.mark.parametrize("credit", [to_go, by_turn])
def test_a_masked_episode_gets_nothing_and_counts_for_nobody(credit: Any) -> None:
    group = [episode(1.0, 1), episode(0.0, 0)]
    with_masked = credit([group[0], episode(None, 1), group[1]])
    assert with_masked[1] == (0.0, 0.0)
    assert [with_masked[0], with_masked[2]] == credit(group)


@pytest.mark.parametrize("credit", [to_go, by_turn])
def test_forced_rollouts_are_compared_with_those_that_began_alike(credit: Any) -> None:
    ask, code = Opening(ReplyKind.QUESTION, (1,)), Opening(ReplyKind.CODE, (2,))
    group = [episode(0.0, 1, opening=ask), episode(0.0, 1, opening=ask), episode(1.0, opening=code), episode(1.0)]
    advantages = credit(group)
    assert advantages[0] == advantages[1] == pytest.approx((0.0, 0.0))
    assert advantages[2] == pytest.approx((0.0,))
    assert advantages[3][0] > 0


def test_each_token_of_the_policy_belongs_to_its_turn_and_the_users_to_none() -> None:
    asked = episode(1.0, 1, mask=(0, 1, 1, 0, 0, 1))  # the first token was given: an opening
    assert turn_of_token(asked) == [None, 0, 0, None, None, 1]
    replayed = episode(1.0, 1, 1, mask=(0, 0, 0, 1, 1))  # two turns were played before
    assert turn_of_token(replayed) == [None, None, None, 2, 2]


def test_advantages_stand_at_the_tokens_of_their_turns() -> None:
    group = [episode(1.0, 1, mask=(1, 1, 0, 1)), episode(0.0, mask=(1,))]
    credit = lambda group: [range(1, 1 + len(item.turns)) for item in group]  # noqa: E731 - a rule of one line
    assert token_advantages(credit, [group], 5).tolist() == [[1, 1, 0, 2, 0], [1, 0, 0, 0, 0]]


@pytest.mark.parametrize("given", [[], [(1.0,), (1.0,)], [(math.nan, 0.0), (1.0,)]])
def test_a_credit_of_ones_own_that_slips_says_what_is_due(given: Any) -> None:
    group = [episode(1.0, 1, mask=(1, 1, 0, 1)), episode(0.0, mask=(1,))]
    with pytest.raises(ClarifyError, match=r"rl\.credit gave"):
        token_advantages(lambda _: given, [group], 5)


def test_a_critic_sees_a_turns_scores_where_the_turn_ends_and_the_outcome_at_the_end() -> None:
    rewards = token_rewards([episode(1.0, 2, mask=(1, 1, 0, 1)), episode(None, 1, mask=(1, 0, 1))], 5)
    assert torch.allclose(rewards, torch.tensor([[0, 0.6, 0, 1.0, 0], [0.0] * 5]))


def test_credit_of_ones_own_is_a_function_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def flat(group):\n    return [[1.0] * len(item.turns) for item in group]\n")
    credit = credit_of(CreditSection(by=f"{tmp_path}/mine.py:flat"), scaled=True)
    assert credit is not None and credit([episode(1.0, 1)]) == [[1.0, 1.0]]


def test_a_word_is_short_for_a_credit_and_a_wrong_one_is_told_the_others(tmp_path: Path) -> None:
    assert load_config("demo", ["rl.credit=turn"]).rl.credit == CreditSection(by="turn")  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="no credit named 'turns'"):
        load_config("demo", ["rl.credit=turns"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["rl.credit=turn", "rl.algorithm=ppo"], "Take to_go, or episode"),
        (["rl.credit=turn", "rl.trainer.scale_rewards=batch"], "leave out rl.trainer.scale_rewards.*rl.credit=episode"),
    ],
)
def test_what_does_not_go_with_a_credit_is_refused_before_training(
    options: list[str], says: str, tmp_path: Path
) -> None:
    config: Config = load_config("demo", options)
    with pytest.raises(ConfigError, match=says):
        rl_config(config, config.rl or RLSection(), tmp_path)
