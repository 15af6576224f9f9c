"""The judge of questions, against a real server: what it is shown, what its grades are worth, and what it costs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clarify_rl.rewards.question_quality import QuestionQuality

from clarify_rl.errors import ConfigError
from clarify_rl.pool import LocalPool, RewardSpec
from clarify_rl.types import Episode
from tests.dialogues import ASK, CLEAR, DESC, SPEC, UNCLEAR, play
from tests.serving import Reply, serving

FAST = {"retries": 2, "timeout_s": 5.0}


def judged(model: str, *dialogues: Any, **options: object) -> list[Episode]:
    spec = RewardSpec("question_quality", options={"model": model, "server": FAST, **options})
    with closing(LocalPool(replace(SPEC, rewards=(spec,)))) as pool:
        return play(*dialogues, pool=pool)


def values(episodes: Sequence[Episode]) -> list[float | None]:
    return [episode.scores[0].value for episode in episodes]


@pytest.mark.parametrize(("grade", "value"), [(3, 1.0), (2, 0.5), (1, 0.0)])
def test_a_grade_is_worth_its_place_between_bad_and_good(grade: int, value: float) -> None:
    with serving(lambda _, __: f'Well: {{"grade": {grade}}}') as model:
        assert values(judged(model, (UNCLEAR, [ASK, DESC]))) == [value]


def test_each_reply_that_asks_is_graded_and_the_mean_goes_to_its_turns() -> None:
    with serving(lambda said, _: '{"grade": 3}' if "Who" in said else '{"grade": 1}') as model:
        (episode,) = judged(model, (UNCLEAR, [ASK, "Who are you?", DESC]))
    assert episode.scores[0].by_turn == (0.0, 0.5, 0.0)
    assert episode.scores[0].why == "graded 1, 3 of 3"


def test_where_nothing_is_asked_or_missing_nobody_is_asked() -> None:
    with serving(lambda _, __: 500) as model:
        assert values(judged(model, (UNCLEAR, [DESC]), (CLEAR, [ASK, DESC]))) == [0.0, 0.0]


def test_the_judge_never_sees_code_that_comes_with_a_question() -> None:
    seen: list[Any] = []
    with serving(lambda _, __: '{"grade": 2}', seen.append) as model:
        judged(model, (UNCLEAR, [f"{ASK} Here is all of it:\n{DESC}", DESC]))
    said = "".join(str(body["messages"][-1]["content"]) for body in seen)
    assert DESC not in said and "def f" not in said.partition("The questions:")[2]


@pytest.mark.parametrize("reply", ["I like it!", '{"grade": 7}', '{"grade": null}', 500, None])
def test_a_judge_without_a_grade_masks_the_episode_and_says_why(reply: Reply) -> None:
    with serving(lambda _, __: reply) as model:
        (episode,) = judged(model, (UNCLEAR, [ASK, DESC]))
    assert episode.masked and episode.scores[0].why


def test_what_was_graded_is_on_record_and_not_asked_again(tmp_path: Path) -> None:
    memory = str(tmp_path / "grades.jsonl")
    with serving(lambda _, number: '{"grade": 3}' if number == 0 else 500) as model:
        assert values(judged(model, *[(UNCLEAR, [ASK, DESC])] * 3, cache=memory)) == [1.0] * 3
        assert values(judged(model, (UNCLEAR, [ASK, DESC]), cache=memory, most_calls=0)) == [1.0]


def test_grades_are_under_way_at_once() -> None:
    """Eight requests wait for each other: one after the other none of them would come back."""
    together = threading.Barrier(8)

    def answer(_: str, __: int) -> Reply:
        together.wait(30)
        return '{"grade": 3}'

    dialogues = [(UNCLEAR, [f"{ASK} Is it number {number}?", DESC]) for number in range(8)]
    with serving(answer) as model:
        assert values(judged(model, *dialogues, server={"parallel": 8, "timeout_s": 60.0})) == [1.0] * 8


def test_without_a_judge_it_says_what_to_type() -> None:
    with pytest.raises(ConfigError, match="openai:http://127"):
        QuestionQuality()
