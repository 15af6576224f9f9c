"""Variants: what is left out, blurred or contradicted, in the asked proportions, and nothing of it leaks."""

import re
import subprocess
import sys
from collections import Counter
from itertools import islice
from random import Random

import pytest

from clarify_rl.errors import DataError
from clarify_rl.problems.bank.draw import Draw, draws, family_named, make_problem, outcomes, same
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.synthesis import variants as synthesis
from clarify_rl.synthesis.mix import Mix, exemplary_replies, interleaved, sample_variants
from clarify_rl.synthesis.variants import either, make_variant
from clarify_rl.types import Defect, Problem, Variant

DRAWN: list[tuple[Draw, Problem]] = [
    (draw, problem) for draw in islice(draws(FAMILIES, "train", 0), len(FAMILIES)) if (problem := make_problem(draw, 0))
]


def hide(draw: Draw, problem: Problem, *defects: Defect, seed: int = 0) -> Variant:
    """The variant in which the first facts have these defects."""
    names = [spec.id for spec in draw.facts]
    return make_variant(draw, problem, dict(zip(names, defects, strict=False)), Random(f"{problem.id}/{seed}"))


def test_an_incomplete_variant_only_lacks_the_sentence() -> None:
    for draw, problem in DRAWN:
        variant = hide(draw, problem, Defect.INCOMPLETE)
        (fact,) = variant.facts
        assert (fact.statement, fact.replaced_by) == (draw.sentence(draw.facts[0]), "")
        assert variant.prompt == problem.prompt.replace(f" {fact.statement}", "", 1)
        assert variant.kind == "incomplete"


def ambiguous() -> list[tuple[Draw, Problem, Variant]]:
    return [
        (draw, problem, hide(draw, problem, Defect.AMBIGUOUS, seed=seed))
        for draw, problem in DRAWN
        for seed in range(4)
    ]


def test_an_ambiguous_variant_has_a_vague_sentence_or_one_that_offers_two_readings_in_its_place() -> None:
    vague = 0
    for draw, problem, variant in ambiguous():
        (fact,) = variant.facts
        is_vague = fact.replaced_by in draw.facts[0].vague
        assert is_vague or " or " in fact.replaced_by
        vague += is_vague
        assert variant.prompt == problem.prompt.replace(f" {fact.statement}", f" {fact.replaced_by}", 1)
        assert variant.kind == "ambiguous"
    assert 0.4 < vague / len(ambiguous()) < 0.65


def test_two_readings_are_the_true_one_and_another_in_either_order() -> None:
    true_first = []
    for draw, _, variant in ambiguous():
        (fact,) = variant.facts
        if fact.replaced_by in draw.facts[0].vague:
            continue
        wording = draw.wording[0]
        readings = [option.says[wording % len(option.says)] for option in draw.facts[0].options]
        offered = [
            other
            for other in readings
            if fact.replaced_by in {either(fact.statement, other, Random(seed)) for seed in range(8)}
        ]
        assert offered, fact.replaced_by
        before = fact.replaced_by.split(" or ")[0].lower()
        true_first.append(fact.statement.lower().startswith(before))
    assert 0.35 < sum(true_first) / len(true_first) < 0.7


def test_two_sentences_become_one_that_offers_both_where_they_differ_in_one_place() -> None:
    def both(one: str, other: str) -> set[str]:
        return {either(one, other, Random(seed)) for seed in range(8)}

    assert both("The limit is 3.", "The limit is 5.") == {"The limit is 3 or 5.", "The limit is 5 or 3."}
    assert both("Keep duplicates.", "Remove duplicates.") == {
        "Keep or remove duplicates.",
        "Remove or keep duplicates.",
    }
    assert both("Raise a ValueError for it.", "Return 0 for it.") == {
        "Raise a ValueError or return 0 for it.",
        "Return 0 or raise a ValueError for it.",
    }
    assert both("Ignore case.", "Case matters.") == {""}
    assert both("Trim spaces.", "Do not trim spaces.") == {"Trim or do not trim spaces.", "Do not trim or trim spaces."}


def test_what_is_left_out_or_blurred_does_not_leak() -> None:
    for draw, problem in DRAWN:
        for defect in (Defect.INCOMPLETE, Defect.AMBIGUOUS):
            variant = hide(draw, problem, *[defect] * len(draw.facts))
            said = [says for spec in draw.facts for option in spec.options for says in option.says]
            assert not [says for says in said if re.search(rf"(^| ){re.escape(says)}", variant.prompt)], problem.id
            assert variant.problem.tests == problem.tests
            assert len(variant.facts) == len(draw.facts)


def inconsistent(*, by_example: bool) -> list[tuple[Draw, Variant]]:
    made = [(draw, hide(draw, problem, Defect.INCONSISTENT, seed=s)) for draw, problem in DRAWN for s in range(8)]
    return [(draw, variant) for draw, variant in made if ("For example, " in variant.prompt) == by_example]


def test_an_inconsistent_variant_has_sentences_for_two_options_in_either_order() -> None:
    true_first = []
    for draw, variant in inconsistent(by_example=False):
        (fact,) = variant.facts
        others = [
            says for option in draw.facts[0].options if option is not draw.option(draw.facts[0]) for says in option.says
        ]
        disputed = fact.replaced_by.replace(fact.statement, "", 1).strip()
        assert disputed in others
        assert f" {fact.statement}" in variant.prompt
        assert f" {disputed}" in variant.prompt
        true_first.append(fact.replaced_by.startswith(fact.statement))
    assert 0.35 < sum(true_first) / len(true_first) < 0.65


def test_sentences_that_contradict_each_other_are_no_neighbours_unless_the_first_ends_the_statement() -> None:
    neighbours = [
        draw.order[-1] == 0
        for draw, variant in inconsistent(by_example=False)
        if variant.facts[0].replaced_by in variant.prompt
    ]
    assert neighbours
    assert all(neighbours)


def test_a_share_of_inconsistent_variants_is_contradicted_by_an_example() -> None:
    examples, sentences = inconsistent(by_example=True), inconsistent(by_example=False)
    assert 0.1 < len(examples) / (len(examples) + len(sentences)) < 0.3


def test_an_example_contradicts_the_statement_and_follows_from_another_option() -> None:
    read = 0
    for draw, variant in inconsistent(by_example=True):
        (fact,) = variant.facts
        assert fact.replaced_by.startswith(f"{fact.statement} For example, ")
        assert fact.statement in variant.prompt
        assert variant.prompt.endswith(fact.replaced_by.removeprefix(fact.statement))
        match = re.search(r"For example, \w+(\(.*\)) returns (.*)\.$", fact.replaced_by, re.DOTALL)
        if not match:
            assert fact.replaced_by.endswith("raises ValueError.")
            continue
        args, shown = eval(match[1][:-1] + ",)"), eval(match[2])  # both are our own reprs
        (right,) = outcomes(draw.solution, draw.entry_point, [args])
        possible = [
            outcomes(
                draw.family.solution(draw.entry_point, {**draw.choices, fact.id: option.value}),
                draw.entry_point,
                [args],
            )
            for option in draw.facts[0].options
        ]
        assert not same(shown, right)
        assert any(same(shown, outcome) for (outcome,) in possible)
        read += 1
    assert read > 20


def test_an_example_is_short() -> None:
    lengths = [len(v.facts[0].replaced_by) - len(v.facts[0].statement) for _, v in inconsistent(by_example=True)]
    assert max(lengths) <= 91
    assert sorted(lengths)[len(lengths) // 2] < 60


def test_no_example_stands_where_another_fact_is_hidden_because_it_would_give_that_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthesis, "EXAMPLE_SHARE", 1.0)
    for draw, problem in DRAWN:
        assert "For example" not in hide(draw, problem, Defect.INCONSISTENT, Defect.INCOMPLETE).prompt


def test_the_kind_names_each_defect_once_in_alphabetical_order() -> None:
    draw, problem = next((draw, problem) for draw, problem in DRAWN if len(draw.facts) >= 4)
    assert hide(draw, problem, Defect.INCOMPLETE, Defect.AMBIGUOUS, Defect.INCOMPLETE).kind == "ambiguous+incomplete"
    assert hide(draw, problem).kind == "clear"
    assert hide(draw, problem).prompt == problem.prompt
    assert hide(draw, problem).facts == ()


def test_facts_carry_what_a_user_and_an_engineer_need() -> None:
    for draw, problem in DRAWN:
        for fact in hide(draw, problem, *[Defect.INCOMPLETE] * len(draw.facts)).facts:
            assert fact.answers
            assert fact.questions
            assert fact.about
            assert not set(fact.about) & set(fact.not_about)


def mix(count: int = 240, **options: object) -> Mix:
    return Mix(**{"count": count, "families": FAMILIES, "clear_families": FAMILIES, **options})  # type: ignore[arg-type]  # options of every type


@pytest.fixture(scope="module")
def sampled() -> list[Variant]:
    return sample_variants(mix(clear_share=0.25, missing={1: 0.5, 2: 0.3, 3: 0.2}), "train", 0)


def test_a_sample_has_the_asked_size_and_no_problem_twice(sampled: list[Variant]) -> None:
    assert len(sampled) == 240
    assert len({variant.id for variant in sampled}) == 240
    assert len({variant.problem.id for variant in sampled}) == 240


def test_a_sample_has_the_asked_proportions(sampled: list[Variant]) -> None:
    unclear = [variant for variant in sampled if not variant.is_clear]
    assert 0.68 < len(unclear) / len(sampled) < 0.82
    missing = Counter(len(variant.facts) for variant in unclear)
    assert set(missing) == {1, 2, 3}
    assert 0.38 < missing[1] / len(unclear) < 0.62
    defects = Counter(fact.defect for variant in unclear for fact in variant.facts)
    assert all(0.24 < defects[defect] / sum(defects.values()) < 0.43 for defect in Defect)


def test_defects_of_weight_zero_do_not_occur() -> None:
    only = sample_variants(
        mix(40, clear_share=0.0, defects={Defect.AMBIGUOUS: 1.0, Defect.INCOMPLETE: 0.0}), "train", 0
    )
    assert {variant.kind for variant in only} == {"ambiguous"}


def test_clear_and_unclear_variants_come_from_their_own_families() -> None:
    one, other = family_named("discount"), family_named("parking")
    made = sample_variants(mix(40, families=(one,), clear_families=(other,)), "train", 0)
    assert {variant.problem.family for variant in made if variant.is_clear} == {"parking"}
    assert {variant.problem.family for variant in made if not variant.is_clear} == {"discount"}


def test_a_sample_is_the_same_in_another_process(sampled: list[Variant]) -> None:
    script = (
        "from clarify_rl.problems.bank.families import FAMILIES\n"
        "from clarify_rl.synthesis.mix import Mix, sample_variants\n"
        "mix = Mix(240, FAMILIES, FAMILIES, 0.25, {1: 0.5, 2: 0.3, 3: 0.2})\n"
        "print(sample_variants(mix, 'train', 0))\n"
    )
    run = [sys.executable, "-c", script]
    there = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60, env={"PYTHONHASHSEED": "3"})
    assert there.stdout.strip() == repr(sampled)


def test_seeds_and_splits_give_other_problems(sampled: list[Variant]) -> None:
    known = {variant.problem.id for variant in sampled}
    for split, seed in (("train", 1), ("dev", 1), ("test", 0)):
        other = sample_variants(mix(60), split, seed)  # type: ignore[arg-type]  # a literal in a tuple is a str
        assert not known & {variant.problem.id for variant in other}


def test_a_mix_without_families_says_so() -> None:
    with pytest.raises(DataError, match="names no families"):
        sample_variants(mix(families=()), "train", 0)
    with pytest.raises(DataError, match="names no families"):
        sample_variants(mix(clear_families=()), "train", 0)


def test_a_mix_only_of_clear_variants_needs_no_other_families() -> None:
    assert all(variant.is_clear for variant in sample_variants(mix(10, families=(), clear_share=1.0), "train", 0))


def test_a_mix_that_asks_for_more_problems_than_there_are_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, _ = DRAWN[0]
    monkeypatch.setattr("clarify_rl.synthesis.mix.draws", lambda *_: iter(lambda: draw, None))
    with pytest.raises(DataError, match="Made only 1 of 5 variants"):
        sample_variants(mix(5), "train", 0)


def test_the_exemplary_engineer_asks_once_for_each_fact_and_then_codes(sampled: list[Variant]) -> None:
    for variant in sampled:
        *asked, code = exemplary_replies(variant, 0)
        assert code == f"```python\n{variant.problem.solution.strip()}\n```"
        wanted = [next(fact.id for fact in variant.facts if question in fact.questions) for question in asked]
        assert sorted(wanted) == sorted(fact.id for fact in variant.facts)
        assert exemplary_replies(variant, 0) == (*asked, code)


def test_every_stretch_of_an_interleaved_order_holds_the_same_mixture() -> None:
    families = (family_named("discount"), family_named("totals"))
    mix = Mix(count=40, families=families, clear_families=families, clear_share=0.25, missing={1: 1, 2: 1, 3: 1})
    variants = sample_variants(mix, "train", seed=3)
    ordered = interleaved(variants)
    assert sorted(variant.id for variant in ordered) == sorted(variant.id for variant in variants)
    counts = [[len(variant.facts) for variant in ordered[start : start + 20]] for start in (0, 20)]
    for missing in range(4):
        assert abs(counts[0].count(missing) - counts[1].count(missing)) <= 1
