"""The problem bank: every family is fit for use, every option of every fact is told apart by the hidden tests."""

import subprocess
import sys
from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from clarify_rl.errors import DataError
from clarify_rl.executor import Executor, Limits
from clarify_rl.problems.bank.check import family_faults
from clarify_rl.problems.bank.draw import (
    Draw,
    Split,
    alternatives,
    draws,
    family_named,
    make_problem,
    outcomes,
    same,
    split_of,
)
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.problems.bank.spec import Choices, FactSpec, Family
from clarify_rl.types import Problem, Tests, Verdict

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
DISCOUNT = family_named("discount")


def drawn(family: Family, *, seed: int = 0, split: Split = "train") -> tuple[Draw, Problem]:
    for draw in draws([family], split, seed):
        if problem := make_problem(draw, seed):
            return draw, problem
    raise AssertionError


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_is_fit_for_use(family: Family) -> None:
    assert family_faults(family, samples=15) == []


def test_the_bank_is_large() -> None:
    assert len(FAMILIES) >= 30
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert sum(family.combinations for family in FAMILIES) > 100_000


def test_a_family_cannot_have_an_option_that_changes_no_output() -> None:
    def deaf(name: str, choices: Choices) -> str:
        return DISCOUNT.solution(name, {**choices, "rounding": "down"})

    faults = family_faults(replace(DISCOUNT, solution=deaf), samples=10)
    assert any("0 of 10 draws have tests that tell every option apart" in fault for fault in faults)


def test_inputs_that_never_reach_the_limit_are_a_fault() -> None:
    faults = family_faults(replace(DISCOUNT, inputs=lambda rng, choices: (1,)), samples=10)
    assert any("tell every option apart" in fault for fault in faults)


def test_a_solution_that_crashes_on_some_inputs_is_a_fault() -> None:
    (price,) = DISCOUNT.parameters

    def crashing(name: str, choices: Choices) -> str:
        head, _, body = DISCOUNT.solution(name, choices).partition("\n")
        return f"{head}\n    if {price} % 3 == 0:\n        {{}}['x']\n{body}"

    assert any("raises KeyError" in fault for fault in family_faults(replace(DISCOUNT, solution=crashing), samples=9))


def with_asks(fact_id: str, *asks: str) -> Family:
    def changed(spec: FactSpec) -> FactSpec:
        return replace(spec, asks=asks) if spec.id == fact_id else spec

    return replace(DISCOUNT, facts=tuple(map(changed, DISCOUNT.facts)))


@pytest.mark.parametrize(
    ("ask", "fault"),
    [
        ("What should I do?", "holds no word that is only about limit"),
        ("Is the limit strict or inclusive?", "also fits ['inclusive']"),
        ("Tell me the limit.", "does not end with '?'"),
    ],
)
def test_a_question_must_fit_its_own_fact_and_no_other(ask: str, fault: str) -> None:
    assert any(fault in found for found in family_faults(with_asks("limit", "What is the limit?", ask), samples=1))


def test_a_family_needs_facts_openings_and_combinations() -> None:
    thin = replace(DISCOUNT, facts=DISCOUNT.facts[1:2], openings=("Write it.",), entry_points=("f",))
    text = "\n".join(family_faults(thin, samples=0))
    for fault in ("only 2 combinations", "1 facts, needs 3 to 5", "at least 3 openings", "opening without {call}"):
        assert fault in text


def test_no_opening_gives_an_option_away() -> None:
    for family in FAMILIES:
        sentences = [says for spec in family.facts for option in spec.options for says in option.says]
        assert not [
            says for says in sentences for opening in family.openings if says.rstrip(".").lower() in opening.lower()
        ]


def test_draws_are_the_same_in_another_process() -> None:
    script = (
        "from itertools import islice\n"
        "from clarify_rl.problems.bank.draw import draws, make_problem\n"
        "from clarify_rl.problems.bank.families import FAMILIES\n"
        "made = [make_problem(draw, 3) for draw in islice(draws(FAMILIES, 'train', 3), 80)]\n"
        "print([made and (made.id, made.prompt, made.tests) for made in made])\n"
    )
    here = [make_problem(draw, 3) for draw in islice(draws(FAMILIES, "train", 3), 80)]
    there = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONHASHSEED": "7"},
    )
    assert there.stdout.strip() == repr([made and (made.id, made.prompt, made.tests) for made in here])


def test_another_seed_draws_other_problems() -> None:
    one, other = ([draw.prompt for draw in islice(draws(FAMILIES, "train", seed), 73)] for seed in (0, 1))
    assert len(set(one) & set(other)) < 5


def test_no_choices_are_in_two_splits() -> None:
    for split in SPLITS:
        for draw in islice(draws(FAMILIES, split, 0), 300):
            assert split_of(draw.family, draw.choices) == split
            assert split_of(draw.family, dict(reversed(list(draw.choices.items())))) == split


def test_every_family_fills_every_split() -> None:
    for family in FAMILIES:
        for split in SPLITS:
            assert len({str(draw.choices) for draw in islice(draws([family], split, 0), 60)}) >= 10, (
                family.name,
                split,
            )


def test_a_family_too_small_for_a_split_says_so() -> None:
    tiny = replace(DISCOUNT, facts=tuple(replace(spec, options=spec.options[:1]) for spec in DISCOUNT.facts))
    empty = next(split for split in SPLITS if split != split_of(tiny, {s.id: s.options[0].value for s in tiny.facts}))
    with pytest.raises(DataError, match=r"'discount' has too few combinations \(1\)"):
        next(draws([tiny], empty, 0))


def test_each_alternative_to_each_fact_fails_a_hidden_test() -> None:
    for family in FAMILIES:
        draw, problem = drawn(family, seed=5)
        assert isinstance(problem.tests, Tests)
        inputs = [case.args for case in problem.tests.cases]
        expected = [case.expected for case in problem.tests.cases]
        assert all(map(same, outcomes(draw.solution, draw.entry_point, inputs), expected))
        for choices in alternatives(draw, Random(0)):
            other = outcomes(family.solution(draw.entry_point, choices), draw.entry_point, inputs)
            hidden = [key for key in choices if choices[key] is not draw.choices[key]]
            assert not all(map(same, other, expected)), (family.name, hidden)


def test_the_executor_agrees_with_the_bank_about_references_and_alternatives() -> None:
    executor = Executor(Limits())
    try:
        for family in FAMILIES:
            draw, problem = drawn(family, seed=6)
            assert executor.run(problem.solution, problem.entry_point, problem.tests).verdict is Verdict.PASS, (
                family.name
            )
            others = list(alternatives(draw, Random(0)))
            other = family.solution(draw.entry_point, Random(family.name).choice(others))
            execution = executor.run(other, problem.entry_point, problem.tests)
            assert execution.verdict is Verdict.WRONG, family.name
            assert execution.passed < execution.total
    finally:
        executor.close()


def test_an_unknown_family_is_named_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"No family 'discont'.*discount"):
        family_named("discont")
