"""The gate before RL: a policy that cannot learn to ask is told of before the first update."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clarify_rl.errors import ClarifyError
from clarify_rl.rl_sections import GateSection
from clarify_rl.store import Run
from clarify_rl.training.gate import locked, pass_gate
from clarify_rl.types import Answer, Episode, Heard, Opening, Outcome, Reply, ReplyKind, Stop, Turn, Variant
from tests.dialogues import CLEAR, UNCLEAR

CODES = Turn(Reply("```python\n```", ReplyKind.CODE, code=""))


def asking(outcome: Outcome, opening: Opening | None = None) -> Episode:
    asks = Turn(Reply("What?", ReplyKind.QUESTION, ("What?",)), Answer("So.", (Heard(outcome),)))
    return Episode("e", UNCLEAR, 0, (asks, CODES), Stop.CODE, opening=opening)


def coding(variant: Variant = UNCLEAR) -> Episode:
    return Episode("e", variant, 0, (CODES,), Stop.CODE)


UNDERSTOOD, NOT_UNDERSTOOD = asking(Outcome.NONE), asking(Outcome.UNCLEAR)


def test_a_policy_that_never_asks_is_told_of_with_what_to_change() -> None:
    (text,) = locked([coding()] * 60, GateSection())
    assert "asks in 0 of 60 unclear problems" in text and "data.sft.clear_share=0.3" in text


def test_a_policy_whose_questions_nobody_understands_is_told_of() -> None:
    (text,) = locked([NOT_UNDERSTOOD] * 20 + [UNDERSTOOD] * 10 + [coding()] * 30, GateSection())
    assert "are understood 10 times in 30" in text and "env.user=llm" in text


@pytest.mark.parametrize(
    "episodes",
    [
        [UNDERSTOOD] * 2 + [coding()] * 58,
        [coding(CLEAR)] * 60,
        [coding()] * 7,
        [NOT_UNDERSTOOD] * 7 + [coding()] * 20,
    ],
    ids=["asks now and then", "nothing unclear", "too few problems", "too few questions"],
)
def test_what_can_learn_or_says_too_little_passes(episodes: list[Episode]) -> None:
    assert locked(episodes, GateSection()) == []


def test_questions_that_were_forced_do_not_open_the_gate() -> None:
    forced = asking(Outcome.REVEALED, Opening(ReplyKind.QUESTION, (1,)))
    assert len(locked([forced] * 30 + [coding()] * 30, GateSection())) == 1


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


def test_a_gate_that_stops_says_how_to_go_on_and_one_that_warns_is_on_record(run: Run) -> None:
    pass_gate([coding()] * 60, GateSection(), run)
    (row,) = run.read_metrics()
    assert row["alarm/gate"] == 1 and "asks in 0 of 60" in str(row["warning"])
    with pytest.raises(ClarifyError, match=r"rl\.gate\.stop=false goes on"):
        pass_gate([coding()] * 60, GateSection(stop=True), run)
