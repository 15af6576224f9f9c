from __future__ import annotations

import io

import pytest

from clarify_rl.registry import load_user
from clarify_rl.types import Answer, Fact, Heard, Outcome, Problem, Reply, ReplyKind, Tests, Turn, Variant

FACTS = (
    Fact("order", None, "Sort the result from high to low."),
    Fact("ties", None, "Equal names keep their first position."),
)
PROBLEM = Problem("p", "Sort it.", "sort", Tests(()), "", "test")
VARIANT = Variant("v", PROBLEM, "Sort it.", "incomplete", FACTS)
ASKED = ("Which order?",)


def answer(monkeypatch: pytest.MonkeyPatch, typed: str, *, turns: tuple[Turn, ...] = ()) -> Answer:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return load_user("human", {}).answer(VARIANT, ASKED, turns, 0)


def test_a_number_says_that_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, "1\n") == Answer(FACTS[0].statement, (Heard(Outcome.REVEALED, ("order",)),))
    assert answer(monkeypatch, "2, 1\n").revealed == ("order", "ties")


def test_own_words_reveal_the_fact_that_they_state(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, "sorted, results from the high to the low\n").revealed == ("order",)
    assert answer(monkeypatch, "As you like.\n") == Answer("As you like.", (Heard(Outcome.NONE),))


def test_a_fact_is_revealed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Turn(Reply("Which order?", ReplyKind.QUESTION), Answer("x", (Heard(Outcome.REVEALED, ("order",)),)))
    assert answer(monkeypatch, "1\n", turns=(before,)) == Answer(FACTS[0].statement, (Heard(Outcome.NONE),))


def test_nothing_and_a_wrong_number_are_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "\n7\n1\n").revealed == ("order",)
    assert capsys.readouterr().out.count("Type an answer, or a number from 1 to 2.") == 2


def test_the_end_of_the_input_is_an_interrupt_and_no_failed_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        answer(monkeypatch, "")
