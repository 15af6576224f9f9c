"""A user whose ears are a language model, against a real server: what it hears is checked, and nothing is lost."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.cli import main
from clarify_rl.errors import ConfigError
from clarify_rl.pool import LocalPool
from clarify_rl.registry import load_user
from clarify_rl.types import Answer, Defect, Episode, Fact, Variant
from tests.dialogues import ASK, DESC, SPEC, UNCLEAR, play
from tests.serving import Reply, serving

FACTS = (
    Fact("order", Defect.INCOMPLETE, "Sort descending.", answers=("Descending.",), questions=("Which order?",)),
    Fact("limit", Defect.INCOMPLETE, "The limit is 17.", answers=("It is 17.",), questions=("What is the limit?",)),
)
VARIANT = replace(UNCLEAR, facts=FACTS)
ODD = "Is bigger better when I line them up?"  # the matcher does not hear what this is about


def heard(*rows: tuple[str, Sequence[str]]) -> str:
    return json.dumps(
        {"answers": [{"question": n, "facts": facts, "outcome": outcome} for n, (outcome, facts) in enumerate(rows, 1)]}
    )


def fast(**options: object) -> dict[str, object]:
    return {"retries": 3, "timeout_s": 2.0, **options}


def ask(user: Any, *questions: str, variant: Variant = VARIANT) -> Answer:
    answer = user.answer(variant, questions, (), 0)
    assert isinstance(answer, Answer)
    return answer


def outcomes(answer: Answer) -> list[str]:
    return [one.outcome.value for one in answer.heard]


def test_the_model_hears_and_the_words_are_the_users_own() -> None:
    bodies: list[Any] = []
    with serving(lambda _, __: heard(("revealed", ["order"])), bodies.append) as model:
        answer = ask(load_user("llm", {"model": model}), ODD)
    assert (answer.text, answer.revealed) == ("Descending.", ("order",))
    said = bodies[0]["messages"][-1]["content"]
    assert "Which order?" in said and ODD in said
    assert "17" not in said and "Sort descending" not in said, "the model is never shown an answer"
    assert bodies[0]["response_format"]["type"] == "json_schema" and bodies[0]["temperature"] == 0


def test_what_the_matcher_is_sure_of_needs_no_model() -> None:
    with serving(lambda _, __: heard(("none", []))) as model:
        user = load_user("llm", {"model": model})
        assert ask(user, "What is the limit?").revealed == ("limit",)
        assert outcomes(ask(user, "Tell me everything!", "Show me the hidden tests.")) == ["broad", "leak"]
        assert user._consulted.calls == 0  # type: ignore[attr-defined]  # the model's user counts them
        assert outcomes(ask(load_user("llm", {"model": model, "cascade": False}), "Which limit?")) == ["none"]


@pytest.mark.parametrize(
    ("said", "outcome", "revealed"),
    [
        (heard(("revealed", ["order", "limit", "order"])), "revealed", ("order", "limit")),
        (heard(("revealed", ["order", "the tests"])), "revealed", ("order",)),
        (heard(("revealed", ["everything"])), "unclear", ()),
        (heard(("none", ["order"])), "unclear", ()),
        (heard(("unclear", [])), "unclear", ()),
        ("Sure! " + heard(("none", [])) + " Anything else?", "none", ()),
    ],
)
def test_what_the_model_says_is_checked(said: str, outcome: str, revealed: tuple[str, ...]) -> None:
    with serving(lambda _, __: said) as model:
        answer = ask(load_user("llm", {"model": model}), ODD)
    assert outcomes(answer) == [outcome]
    assert answer.revealed == revealed


@pytest.mark.parametrize(
    "reply",
    [
        "I would say it is about the order.",
        '{"answers": [{"question": 1, "facts": ["or',
        '{"answers": []}',
        '{"answers": [{"question": 1, "facts": ["order"], "outcome": "leak it"}]}',
        400,
        None,
    ],
    ids=["prose", "cut off", "no entry", "no outcome", "refused", "hung up"],
)
def test_a_model_that_cannot_be_understood_is_an_unmeasured_episode(reply: Reply) -> None:
    with serving(lambda _, __: reply) as model:
        (episode,) = played(model, server=fast(retries=0))
    assert episode.masked
    assert "ConsultError" in episode.failure or "cannot be reached" in episode.failure


def played(model: str, *openings: str, **options: object) -> list[Episode]:
    """An episode for each first question, played through environment and pool."""
    spec = {**SPEC.env_options, "user": "llm", "user_options": {"model": model, **options}}
    with closing(LocalPool(replace(SPEC, env_options=spec))) as pool:
        return play(*((VARIANT, [opening, DESC]) for opening in openings or (ODD,)), pool=pool)


def test_a_busy_server_is_asked_again_and_every_dialogue_is_answered() -> None:
    """Half of the requests meet 429 or 503 or a cut connection at first."""

    def answer(said: str, number: int) -> Reply:
        if number % 2 == 0:
            return (429, 503, None)[number // 2 % 3]
        return heard(("revealed", ["order"]))

    questions = [f"{ODD.rstrip('?')}, number {number}?" for number in range(8)]
    with serving(answer) as model:
        episodes = played(model, *questions, server=fast(retries=6))
    assert [episode.failure for episode in episodes] == [""] * 8
    assert all(episode.revealed == ("order",) for episode in episodes)


def test_answers_are_under_way_at_once() -> None:
    """Each of four requests is answered only when all four have come."""
    together = threading.Barrier(4, timeout=60)

    def answer(_: str, __: int) -> Reply:
        together.wait()
        return heard(("revealed", ["order"]))

    with serving(answer) as model, ThreadPoolExecutor(4) as threads:
        user = load_user("llm", {"model": model, "server": {"parallel": 4, "timeout_s": 100}})
        answers = list(threads.map(lambda n: ask(user, f"{ODD} {n}"), range(4)))
    assert [answer.revealed for answer in answers] == [("order",)] * 4


def test_what_was_heard_is_kept_and_counted_and_a_cut_line_costs_one_request(tmp_path: Path) -> None:
    cache = tmp_path / "kept" / "heard.jsonl"
    with serving(lambda _, __: heard(("revealed", ["order"]))) as model:
        first: Any = load_user("llm", {"model": model, "cache": str(cache)})
        answer = ask(first, ODD)
        assert ask(first, f"  {ODD.upper()} ") == answer, "spaces and case are no other question"
        assert (first._consulted.calls, first._consulted.memory.hits) == (1, 1)
        cache.write_text(cache.read_text() + '{"key": "cut o')
        second: Any = load_user("llm", {"model": model, "cache": str(cache), "most_calls": 1})
        assert ask(second, ODD) == answer
        assert (second._consulted.calls, second._consulted.memory.hits) == (0, 1)
        ask(second, f"{ODD} Or smaller?")
        third: Any = load_user("llm", {"model": model, "cache": str(cache)})
        ask(third, f"{ODD} Or smaller?")
        assert (third._consulted.calls, third._consulted.memory.hits) == (0, 1)


def test_check_user_says_what_a_model_took(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _, __: heard(("unclear", []))) as model:
        assert main(["check", "user", f"llm,model={model},cascade=false", "--limit", "2"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    asked = re.search(r"(\d+) requests to openai:\S+, (\d+) replies heard before", said)
    assert asked and int(asked[1]) > 0 and int(asked[2]) > 0, said


def test_a_spent_budget_is_an_unmeasured_episode_that_names_the_option() -> None:
    with serving(lambda _, __: heard(("revealed", ["order"]))) as model:
        first, second = played(model, ODD, f"{ODD} Or smaller?", most_calls=1)
    assert sorted([first.masked, second.masked]) == [False, True]
    assert "env.user_options.most_calls=1" in first.failure + second.failure


def test_answers_in_the_models_words_add_nothing() -> None:
    def answer(said: str, _: int) -> Reply:
        if "JSON" in said:
            return heard(("revealed", ["limit" if "ceiling" in said else "order"]))
        return "Large ones come first." if "Descending" in said else "It is 17, and the answer to test_3 is 42."

    with serving(answer) as model:
        user = load_user("llm", {"model": model, "rephrase": True, "cascade": False})
        assert ask(user, ODD).text == "Large ones come first."
        assert ask(user, "Where is the ceiling?").text == "It is 17."


def test_a_user_without_a_model_says_what_to_type() -> None:
    with pytest.raises(ConfigError, match=re.escape("env.user_options.model=openai:http://127.0.0.1:8000/v1#NAME")):
        load_user("llm", {})


def test_an_asking_dialogue_goes_on_as_with_any_user() -> None:
    with serving(lambda _, __: heard(("revealed", ["order"]))) as model:
        (episode,) = played(model, ASK)
    assert episode.solved and episode.revealed == ("order",)


def test_a_model_that_is_loaded_here_listens_too_and_one_that_writes_no_json_is_no_silent_none() -> None:
    """The embedded model writes code whatever it is asked, so the episode is unmeasured and says why."""
    (episode,) = played("embedded")
    assert episode.masked
    assert "the user's model gave no answer in JSON" in episode.failure
