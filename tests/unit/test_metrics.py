from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import log

import pytest

from clarify_rl.evaluation.calibration import calibration_of, confidence
from clarify_rl.evaluation.metrics import Count, GroupSummary, Mean, summarise
from clarify_rl.evaluation.pass_at_k import pass_at_k
from clarify_rl.types import (
    Answer,
    Case,
    Defect,
    Episode,
    Execution,
    Fact,
    Heard,
    Outcome,
    Problem,
    Reply,
    ReplyKind,
    Results,
    Stop,
    Tests,
    Turn,
    Variant,
    Verdict,
)
from tests.dialogues import ASK, DESC, UNCLEAR, play

PROBLEM = Problem("p", "Add.", "add", Tests((Case((1,), 1),)), "def add(x): return x", "test")
ONE = (Fact("order", Defect.INCOMPLETE, "Ascending."),)
TWO = (*ONE, Fact("empty", Defect.AMBIGUOUS, "Empty gives 0."))
CODE = Turn(Reply("```python\npass\n```", ReplyKind.CODE, code="pass"))
PASSED = Execution(Verdict.PASS, 4, 4)
WRONG = Execution(Verdict.WRONG, 1, 4)
TIMED_OUT = Execution(Verdict.WALL_TIMEOUT, 0, 4)


def question(*revealed: str, asks: int = 1) -> Turn:
    heard = tuple(Heard(Outcome.REVEALED, (fact,)) for fact in revealed)
    return Turn(
        Reply("Which?", ReplyKind.QUESTION, ("Which?",) * asks),
        Answer("This.", heard),
    )


def episode(
    name: str,
    *turns: Turn,
    kind: str = "clear",
    facts: tuple[Fact, ...] = (),
    execution: Execution | None = None,
    stop: Stop = Stop.CODE,
    failure: str = "",
) -> Episode:
    return Episode(name, Variant(name, PROBLEM, name, kind, facts), 0, turns, stop, execution, failure)


def group(name: str, *episodes: Episode) -> GroupSummary:
    found = summarise(Results("rl", "held_out", episodes)).group(name)
    assert found is not None
    return found


def test_means_are_those_computed_by_hand() -> None:
    summary = group(
        "unclear",
        episode("a", question("order", asks=2), CODE, kind="incomplete", facts=ONE, execution=PASSED),
        episode("b", question("empty"), CODE, kind="ambiguous+incomplete", facts=TWO, execution=WRONG),
        episode("c", CODE, kind="incomplete", facts=ONE, execution=WRONG),
        episode("d", question(), CODE, kind="incomplete", facts=ONE, execution=PASSED),
        episode("clear", CODE, execution=PASSED),
    )
    assert summary.episodes == 4
    assert summary.solved == Mean(0.5, 4)
    assert summary.pass_rate == Mean((1 + 0.25 + 0.25 + 1) / 4, 4)
    assert summary.asked == Mean(0.75, 4)
    assert summary.questions == Mean(1.0, 4)
    assert summary.revealed == Mean(2 / 5, 5)
    assert summary.malformed == Mean(0.0, 4)


def test_unmeasured_is_not_zero_but_is_counted() -> None:
    summary = group("clear", episode("a", CODE, execution=PASSED), episode("b", CODE, execution=TIMED_OUT))
    assert (summary.solved, summary.pass_rate) == (Mean(1.0, 1), Mean(1.0, 1))
    assert (summary.episodes, summary.failed) == (2, 1)
    assert summary.asked == Mean(0.0, 2)


def test_no_code_is_measured_and_bad() -> None:
    summary = group("clear", episode("a", question(), stop=Stop.NO_CODE))
    assert (summary.solved, summary.pass_rate, summary.failed) == (Mean(0.0, 1), Mean(0.0, 1), 0)


def test_a_failure_before_the_first_reply_says_nothing_about_asking() -> None:
    summary = group("clear", episode("a", stop=Stop.FAILED, failure="worker lost"))
    assert summary.asked == summary.questions == summary.malformed == summary.solved == Mean(None, 0)
    assert (summary.failed, summary.stops) == (1, (Count("failed", 1),))


def test_ask_recall_and_false_ask_rate_come_from_the_same_measure() -> None:
    episodes = (
        episode("a", question(), CODE, kind="ambiguous", facts=ONE, execution=WRONG),
        episode("b", question(), CODE, execution=PASSED),
        episode("c", CODE, execution=PASSED),
    )
    assert group("unclear", *episodes).asked == Mean(1.0, 1)
    assert group("clear", *episodes).asked == Mean(0.5, 2)


def test_a_question_with_code_counts_as_malformed_and_not_as_asking() -> None:
    mixed = Turn(Reply("Which? ```python\npass\n```", ReplyKind.MIXED, ("Which?",), "pass"))
    summary = group("clear", episode("a", mixed, stop=Stop.MALFORMED))
    assert (summary.asked, summary.malformed) == (Mean(0.0, 1), Mean(1.0, 1))
    assert summary.replies == (Count("mixed", 1),)


def test_groups_go_from_all_to_kinds_to_numbers_of_facts() -> None:
    episodes = (
        episode("a", CODE, kind="ambiguous+incomplete", facts=TWO),
        episode("b", CODE, kind="incomplete", facts=ONE),
        episode("c", CODE, kind="ambiguous"),
        episode("d", CODE),
    )
    names = [group.group for group in summarise(Results("rl", "s", episodes)).groups]
    kinds = ["ambiguous", "incomplete", "ambiguous+incomplete"]
    assert names == ["all", "clear", "unclear", *kinds, "1 missing", "2 missing"]


def test_no_episodes_give_empty_groups_without_numbers() -> None:
    summary = summarise(Results("rl", "s", ()))
    assert [(group.group, group.solved) for group in summary.groups] == [
        (name, Mean(None, 0)) for name in ("all", "clear", "unclear")
    ]


def test_a_fact_that_is_not_the_variants_own_is_not_counted_as_revealed() -> None:
    summary = group("unclear", episode("a", question("other"), CODE, kind="incomplete", facts=ONE, execution=WRONG))
    assert summary.revealed == Mean(0.0, 1)


def test_numbers_of_missing_facts_stand_in_their_order() -> None:
    facts = tuple(Fact(str(number), None, f"Fact {number}.") for number in range(10))
    episodes = (
        episode("a", CODE, kind="ambiguous", facts=facts, execution=PASSED),
        episode("b", CODE, kind="incomplete", facts=facts[:2], execution=PASSED),
    )
    names = [group.group for group in summarise(Results("rl", "held_out", episodes)).groups]
    assert names[-2:] == ["2 missing", "10 missing"]


def test_asking_for_the_right_thing_is_counted_by_defect_and_needless_questions_cost_precision() -> None:
    dialogue = play((UNCLEAR, [f"{ASK} What is the weather like?", DESC]))
    summary = summarise(Results("rl", "s", tuple(dialogue)))
    group = summary.group("unclear")
    assert group is not None
    assert [(each.name, each.share.value, each.share.n) for each in group.revealed_by] == [("incomplete", 1.0, 1)]
    assert (group.precision.value, group.precision.n) == (0.5, 2)
    assert group.ask_f1 == pytest.approx(2 / 3)


def test_who_asks_nothing_has_no_precision_and_an_f1_of_0_and_clear_problems_have_neither() -> None:
    summary = summarise(Results("rl", "s", tuple(play((UNCLEAR, [DESC])))))
    group, clear = summary.group("unclear"), summary.group("clear")
    assert group is not None and clear is not None
    assert (group.precision.value, group.ask_f1, clear.ask_f1) == (None, 0.0, None)


def test_a_share_has_an_interval_that_draws_whole_problems() -> None:
    problems = [replace(UNCLEAR.problem, id=f"p{i}") for i in range(20)]
    variants = [replace(UNCLEAR, id=f"{problem.id}/{n}", problem=problem) for problem in problems for n in range(3)]
    code = Turn(Reply("", ReplyKind.CODE, code=""))
    episodes = [
        Episode(variant.id, variant, 0, (code,), Stop.CODE, Execution(Verdict.PASS if i < 30 else Verdict.WRONG, 1, 1))
        for i, variant in enumerate(variants)
    ]
    group = summarise(Results("rl", "s", tuple(episodes))).group("all")
    assert group is not None
    solved = group.solved
    assert solved.low is not None and solved.high is not None
    assert solved.value == 0.5
    # Of 20 problems that are solved whole or not at all, not of 60 variants: half of the width of the latter is 0.13.
    assert solved.high - solved.low == pytest.approx(0.4, abs=0.06)


def test_turns_are_counted_until_the_code_for_dialogues_that_ask() -> None:
    asks, codes = play((UNCLEAR, [ASK, DESC]), (UNCLEAR, [DESC]))
    group = summarise(Results("rl", "s", (asks, replace(codes, variant=replace(UNCLEAR, id="other"))))).group("all")
    assert group is not None
    assert (group.turns.value, group.turns.n) == (1.0, 1)


# ---- several episodes of a variant, and how sure they were


def test_pass_at_k_is_the_chance_that_one_of_k_drawn_without_replacement_passes() -> None:
    assert pass_at_k(5, 2, 1) == pytest.approx(2 / 5)
    assert pass_at_k(5, 2, 2) == pytest.approx(1 - 3 / 10)
    drawn = [any(few) for few in combinations([True, True, False, False, False, False], 3)]
    assert pass_at_k(6, 2, 3) == pytest.approx(sum(drawn) / len(drawn))
    assert (pass_at_k(5, 0, 5), pass_at_k(5, 5, 1), pass_at_k(5, 4, 2)) == (0, 1, 1)
    for n, k in ((3, 4), (3, 0)):
        with pytest.raises(ValueError, match="samples"):
            pass_at_k(n, 1, k)


def test_variants_and_episodes_are_told_apart_and_what_is_unmeasured_is_no_try() -> None:
    ran = {"a": (PASSED, WRONG, WRONG), "b": (WRONG, TIMED_OUT, PASSED)}
    played = [
        replace(episode(name, CODE, execution=execution), id=f"{name}#{number}")
        for name, runs in ran.items()
        for number, execution in enumerate(runs)
    ]
    found = group("clear", *played)
    assert (found.episodes, found.variants, found.failed) == (6, 2, 1)
    assert [(each.name, each.share.n) for each in found.pass_at] == [("2", 2), ("3", 1)]
    assert found.pass_at[0].share.value == pytest.approx((2 / 3 + 1) / 2)
    assert group("clear", episode("a", CODE, execution=PASSED)).pass_at == ()


def sure(probability: float, *, solved: bool) -> Episode:
    """An episode whose question was certain, and whose code was as probable, token by token."""
    told = episode("a", question(), CODE, execution=PASSED if solved else WRONG)
    known = (0.0, -9.0, log(probability), log(probability))  # the user's words were not sampled
    return replace(told, completion_ids=(1, 2, 3, 4), policy_mask=(1, 0, 1, 1), logprobs=known)


def test_confidence_is_the_mean_probability_of_the_last_reply_alone() -> None:
    assert confidence(sure(0.7, solved=True)) == pytest.approx(0.7)
    assert confidence(episode("a", CODE, execution=PASSED)) is None


def test_calibration_is_that_computed_by_hand() -> None:
    found = calibration_of([sure(0.9, solved=True), sure(0.8, solved=False), sure(0.4, solved=True)])
    assert found is not None
    assert [(round(each.confidence, 6), each.solved, each.n) for each in found.bins] == [
        (0.4, 1, 1),
        (0.8, 0, 1),
        (0.9, 1, 1),
    ]
    assert found.error == pytest.approx((0.6 + 0.8 + 0.1) / 3)
    assert found.ranking == pytest.approx(1 / 2)  # 0.9 is above 0.8, and 0.4 below


def test_equal_confidence_ranks_nobody_and_one_outcome_has_no_ranking() -> None:
    same = [sure(0.5, solved=solved) for solved in (True, False, True, False)]
    found = calibration_of(same)
    assert found is not None
    assert found.ranking == pytest.approx(0.5)
    one = calibration_of(same[::2])
    assert one is not None
    assert one.ranking is None
    assert calibration_of([episode("a", CODE, execution=PASSED)]) is None
