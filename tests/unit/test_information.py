"""What answers were worth: each measure on episodes made by hand, and by a small model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.policies.scripted import ScriptedPolicy
from clarify_rl.pool import LocalPool
from clarify_rl.training.information import (
    WITHHELD,
    Continuation,
    Unscored,
    by_effect,
    by_gain,
    by_siblings,
    by_withholding,
    likelihoods_of,
    told,
)
from clarify_rl.types import Episode, Start
from tests.dialogues import ASC, ASK, CLEAR, DESC, SPEC, UNCLEAR, chat, encode, play
from tests.ppo_world import tiny_model

LIMITS = DialogueLimits(max_questions=2, turn_tokens=60, total_tokens=400)
HELPED, LOST, SILENT = play((UNCLEAR, [ASK, DESC]), (UNCLEAR, [ASK, ASC]), (UNCLEAR, [ASC]))
IDLE, LATER = play((UNCLEAR, ["Who are you?", DESC]), (UNCLEAR, ["Who are you?", ASK, DESC]))


def guessing(*replies: str) -> tuple[list[Start], object]:
    """Plays on with these replies whatever was answered, and keeps what it was asked to begin from."""
    seen: list[Start] = []

    def play_on(starts: Sequence[Start]) -> list[Episode]:
        seen.extend(starts)
        scripts = {start.id: ("",) * len(start.turns) + (replies[n % len(replies)],) for n, start in enumerate(starts)}
        policy = ScriptedPolicy(scripts, encode, chat().turn_end_id)
        with closing(LocalPool(SPEC)) as pool:
            return run_episodes(starts, policy=policy, pool=Unscored(pool), chat=chat(), limits=LIMITS)

    return seen, play_on


def test_an_answer_is_worth_what_passes_less_without_it() -> None:
    seen, play_on = guessing(ASC)
    (worth,) = by_withholding([HELPED], play_on, 1)  # type: ignore[arg-type]  # a function, as above
    assert HELPED.pass_rate == 1.0 and SILENT.pass_rate is not None
    assert worth == pytest.approx((1.0 - SILENT.pass_rate, 0.0))
    (start,) = seen
    assert start.turns[0].answer is not None and start.turns[0].answer.text == WITHHELD
    assert start.turns[0].reply == HELPED.turns[0].reply


def test_an_answer_that_the_code_ignores_is_worth_nothing() -> None:
    _, play_on = guessing(ASC)
    assert by_withholding([LOST], play_on, 1) == [(0.0, 0.0)]  # type: ignore[arg-type]  # as above


def test_more_rollouts_are_means_on_both_sides_and_the_episode_is_one_of_them() -> None:
    """With the answer: passed, and once more wrong. Without: right by luck, and wrong."""
    seen, play_on = guessing(ASC, DESC, ASC)
    (worth,) = by_withholding([HELPED], play_on, 2)  # type: ignore[arg-type]  # as above
    assert [start.id.split(" ")[2] for start in seen] == ["with", "without", "without"]
    assert worth == pytest.approx((0.0, 0.0))


def test_only_turns_that_were_told_something_are_played_again() -> None:
    seen, play_on = guessing(ASC)
    assert by_withholding([IDLE, SILENT], play_on, 3) == [(0.0, 0.0), (0.0,)]  # type: ignore[arg-type]  # as above
    assert not seen
    (worth,) = by_withholding([LATER], play_on, 1)  # type: ignore[arg-type]  # as above
    assert told(LATER) == [1] and worth[0] == 0.0 and worth[1] and worth[1] > 0
    assert [turn.reply.text for turn in seen[0].turns] == ["Who are you?", ASK]


def test_what_could_not_be_played_on_is_no_zero() -> None:
    lost = lambda starts: [replace(SILENT, failure="worker died") for _ in starts]  # noqa: E731 - a rule of one line
    assert by_withholding([HELPED], lost, 1) == [(None, 0.0)]


def test_against_siblings_an_answer_is_worth_what_those_that_did_not_ask_lack() -> None:
    assert SILENT.pass_rate is not None
    helped, lost, silent = by_siblings([HELPED, LOST, SILENT])
    assert helped == pytest.approx((1.0 - SILENT.pass_rate, 0.0))
    assert lost == pytest.approx((0.0, 0.0)) and silent == (0.0,)
    assert by_siblings([HELPED, LOST]) == [(None, 0.0)] * 2, "nobody to compare with"


def test_an_effect_is_the_next_replys_likelihood_with_the_answer_less_without() -> None:
    asked: list[Continuation] = []

    def likelihoods(items: Sequence[Continuation]) -> list[float]:
        asked.extend(items)
        return [-1.0, -3.0]

    assert by_effect([HELPED, SILENT], chat(), likelihoods) == [(2.0, 0.0), (0.0,)]
    given, withheld = asked
    answer = HELPED.turns[0].answer
    assert answer is not None
    assert given.token_ids == withheld.token_ids == HELPED.turns[1].reply.token_ids
    assert (*given.context, *given.token_ids) == (*HELPED.prompt_ids, *HELPED.completion_ids)
    assert answer.text in chat().decode(given.context) and answer.text not in chat().decode(withheld.context)
    assert chat().decode(withheld.context) == chat().decode(given.context).replace(answer.text, WITHHELD)


def test_a_gain_is_the_references_likelihood_with_the_answer_less_without() -> None:
    asked: list[Continuation] = []

    def likelihoods(items: Sequence[Continuation]) -> list[float]:
        asked.extend(items)
        return [-0.5, -0.75]

    assert by_gain([HELPED], chat(), likelihoods) == [(0.25, 0.0)]
    assert all(UNCLEAR.problem.solution.strip() in chat().decode(item.token_ids) for item in asked)


def test_likelihoods_are_those_of_a_plain_forward_pass_whatever_stands_beside_them() -> None:
    model = tiny_model()
    items = [Continuation((2, 3, 4), (5, 6)), Continuation((2,), (7, 6, 5, 4)), Continuation((3, 3), ())]
    found = likelihoods_of(model, 0, 2, items)
    for item, value in zip(items[:2], found, strict=False):
        ids = torch.tensor([[*item.context, *item.token_ids]])
        logprobs = model.eval()(input_ids=ids).logits[0].log_softmax(-1)
        start = len(item.context)
        each = [logprobs[start + n - 1, token].item() for n, token in enumerate(item.token_ids)]
        assert value == pytest.approx(sum(each) / len(each), abs=1e-5)
    assert found[2] == 0.0


def test_a_clear_problem_has_no_answer_to_be_worth_anything() -> None:
    (clear,) = play((CLEAR, [ASK, DESC]))
    assert told(clear) == [] and by_siblings([clear, clear]) == [(0.0, 0.0)] * 2
