"""Unclear variants of real problems: what is hidden matters, the answer tells it, and nothing that is shown does."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from clarify_rl.envs.rule_based_user import RuleBasedUser
from rich.console import Console

from clarify_rl.config import PartConfig, SourceConfig
from clarify_rl.config_files import load_config
from clarify_rl.errors import DataError
from clarify_rl.executor import Executor, Limits, Trial
from clarify_rl.pipeline.check_source import check_source, print_source
from clarify_rl.pipeline.make import make, print_stats, show
from clarify_rl.pipeline.sources import draw, unclear_one
from clarify_rl.problems.made import Made
from clarify_rl.registry import load_source
from clarify_rl.sections import MixConfig
from clarify_rl.synthesis.constraints import Bounds, bounds_in
from clarify_rl.synthesis.facts import Reading, Wrapped, clear_of
from clarify_rl.synthesis.inputs import more_inputs
from clarify_rl.synthesis.unclear import TELLING, TESTS, Synthesis, all_edits
from clarify_rl.types import Assertions, Case, Problem, Source, Tests, Variant
from tests import own_problems

PROBLEMS: dict[str, tuple[str, str, Sequence[tuple[object, ...]]]] = {
    "yes_no": (
        "Write a function to check whether a number is a power of two. Call it f(n).",
        "def f(n):\n    return n > 0 and n & (n - 1) == 0\n",
        [(8,), (6,), (1,), (12,)],
    ),
    "result_type": (
        "Write a function to find the words of a text that begin with a vowel. Call it f(text).",
        "def f(text):\n    return [w for w in text.split() if w[0] in 'aeiou']\n",
        [("an old man is at home",), ("every apple of ours",), ("it is in a box",)],
    ),
    "order": (
        "Write a function to find the numbers that only one of the lists has, in ascending order. Call it f(xs, ys).",
        "def f(xs, ys):\n    return sorted(set(xs) ^ set(ys))\n",
        [([5, 1, 4], [9, 2]), ([3, 8, 2], [7, 1]), ([6, 4], [5, 9, 0])],
    ),
    "duplicates": (
        "Write a function to get the even numbers from a list. Call it f(xs).",
        "def f(xs):\n    return [x for x in xs if x % 2 == 0]\n",
        [([2, 2, 4, 3],), ([6, 1, 6, 6],), ([8, 4, 8],)],
    ),
    "rounding": (
        "Write a function to find the mean of a list. Call it f(xs).",
        "def f(xs):\n    return sum(xs) / len(xs)\n",
        [([1, 2, 4],), ([5, 6, 9],), ([1, 1, 2],)],
    ),
    "index_base": (
        "Write a function to find the index of a value in a list. Call it f(xs, value).",
        "def f(xs, value):\n    return xs.index(value) if value in xs else -1\n",
        [([4, 5, 6], 6), ([1, 2], 1), ([3, 9, 1], 9), ([7, 8], 3)],
    ),
    "negative": (
        "Write a function to find the nth triangle number. Call it f(n).",
        "def f(n):\n    return n * (n + 1) // 2\n",
        [(3,), (5,), (8,)],
    ),
    "arguments": (
        "Write a function to cut a word down to some letters. Call it f(word, letters).",
        "def f(word, letters):\n    return word[:letters]\n",
        [("abcd", 2), ("extra", 3), ("none", 1)],
    ),
    "nothing_found": (
        "Return the smallest even number of an array.\nIf there is no even number, return -1.\n\n"
        "Write the function f(nums).",
        "def f(nums):\n    return min([x for x in nums if x % 2 == 0], default=-1)\n",
        [([3, 4, 2],), ([1, 3],), ([5],), ([7, 9, 11],), ([8, 1],)],
    ),
    "ties": (
        "Write a function to find the longest word of a list. Call it f(words).",
        "def f(words):\n    return max(words, key=len)\n",
        [(["one", "two", "six"],), (["a", "abc", "xyz"],), (["of", "to", "b"],)],
    ),
    "neighbours": (
        "Count the land cells (1) of a grid with another land cell adjacent to them, horizontally or vertically.\n\n"
        "Write the function f(grid).",
        "def f(grid):\n"
        "    cells = {(i, j) for i, row in enumerate(grid) for j, cell in enumerate(row) if cell == 1}\n"
        "    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)]\n"
        "    return sum(any((i + a, j + b) in cells for a, b in steps) for i, j in cells)\n",
        [([[1, 0], [0, 1]],), ([[1, 1, 0], [0, 0, 1]],), ([[0, 1, 0], [1, 0, 1], [0, 0, 0]],), ([[1, 0, 1]],)],
    ),
    "modulus": (
        "Return the number of ways to colour n rods.\nSince the answer may be large, return it modulo 10^9 + 7.\n\n"
        "Write the function f(n).",
        "def f(n):\n    return 3 ** n % (10 ** 9 + 7)\n",
        [(30,), (40,), (50,), (60,), (2,)],
    ),
}


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(Limits(cpu_s=5.0)) as made:
        yield made


def problem(kind: str) -> Problem:
    statement, solution, inputs = PROBLEMS[kind]
    names: dict[str, object] = {}
    exec(solution, names)
    function = names["f"]
    assert callable(function)
    cases = tuple(Case(args, function(*args)) for args in inputs)
    return Problem(f"test/{kind}", statement, "f", Tests(cases), solution, "test")


@pytest.fixture(scope="module")
def variants(executor: Executor) -> dict[str, list[Variant]]:
    synthesis = Synthesis(executor)
    return {kind: synthesis.variants(problem(kind)) for kind in PROBLEMS}


def unclear(variants: dict[str, list[Variant]]) -> list[Variant]:
    return [variant for made in variants.values() for variant in made if variant.facts]


def test_there_is_a_problem_here_for_every_edit() -> None:
    assert set(PROBLEMS) == set(all_edits())


@pytest.mark.parametrize("kind", PROBLEMS)
def test_an_edit_finds_its_fact_and_every_defect_of_it(kind: str, variants: dict[str, list[Variant]]) -> None:
    own = [variant for variant in variants[kind] if [fact.id for fact in variant.facts] == [kind]]
    kinds = {variant.kind for variant in own}
    assert kinds <= {"incomplete", "ambiguous", "inconsistent"}
    assert len(kinds) == (1 if kind == "arguments" else 3)


def test_the_reference_of_every_variant_passes_its_tests(
    executor: Executor, variants: dict[str, list[Variant]]
) -> None:
    for variant in (variant for made in variants.values() for variant in made):
        own = variant.problem
        execution = executor.run_trial(Trial(own.solution, own.entry_point, own.tests, own.prelude))
        assert execution.solved, (variant.id, execution)
        assert execution.total <= TESTS


def test_the_original_reference_fails_where_the_truth_was_redrawn(
    executor: Executor, variants: dict[str, list[Variant]]
) -> None:
    """A model that knows the problem by heart must ask as well."""
    redrawn = [variant for variant in unclear(variants) if variant.problem.solution != PROBLEMS[first(variant)][1]]
    assert len(redrawn) > len(unclear(variants)) / 2
    for variant in redrawn:
        solution = PROBLEMS[first(variant)][1]
        execution = executor.run_trial(Trial(solution, variant.problem.entry_point, variant.problem.tests))
        assert not execution.solved, variant.id
        assert execution.total - execution.passed >= TELLING


def first(variant: Variant) -> str:
    return variant.problem.id.split("/")[1]


def test_every_fact_carries_its_evidence(variants: dict[str, list[Variant]]) -> None:
    for variant in unclear(variants):
        for fact in variant.facts:
            assert fact.told_by
            assert all(telling.tests >= TELLING for telling in fact.told_by), variant.id


def test_the_clear_twin_says_what_the_variant_hides(variants: dict[str, list[Variant]]) -> None:
    for made in variants.values():
        twins = {variant.problem.id: variant for variant in made if variant.is_clear}
        for variant in made:
            for fact in variant.facts:
                assert fact.statement in twins[variant.problem.id].prompt
                assert fact.defect == "inconsistent" or fact.statement not in variant.prompt, variant.prompt


def test_no_text_that_is_shown_gives_a_hidden_truth_away(variants: dict[str, list[Variant]]) -> None:
    for variant in unclear(variants):
        for fact in variant.facts:
            if fact.defect != "inconsistent":
                shown = variant.prompt.replace(fact.replaced_by, "") if fact.replaced_by else variant.prompt
                assert not any(answer.strip(".") in shown for answer in fact.answers if len(answer) > 12), (
                    variant.prompt
                )


def test_the_user_understands_the_questions_of_every_fact(variants: dict[str, list[Variant]]) -> None:
    user = RuleBasedUser()
    asked = Counter[bool]()
    for variant in unclear(variants):
        for fact in variant.facts:
            for question in fact.questions:
                answer = user.answer(variant, (question,), (), 0)
                asked[fact.id in answer.revealed] += 1
    assert asked[True] / asked.total() > 0.9, asked


def test_a_contradiction_may_be_an_example(variants: dict[str, list[Variant]]) -> None:
    contradicted = [variant for variant in unclear(variants) if variant.kind == "inconsistent"]
    examples = [variant for variant in contradicted if re.search(r"For example, f\(.*\) returns", variant.prompt)]
    assert examples
    assert len(examples) < len(contradicted)


def test_a_problem_with_several_right_results_gives_no_variants(executor: Executor) -> None:
    several = replace(problem("order"), prompt=f"{problem('order').prompt} You may return them in any order.")
    assert Synthesis(executor).variants(several) == []


@pytest.mark.parametrize(
    ("statement", "solution", "inputs"),
    [
        ("Find the area of a circle.", "def f(r):\n    return round(r * 3.14159, 2)\n", [(1.5,), (2.5,), (4.1,)]),
        ("Return the smallest integer.", "def f(n):\n    return str(n)\n", [(3,), (4,), (5,)]),
        ("Find the item with maximum frequency.", "def f(x):\n    return x[0], x.count(x[0])\n", [([1],), ([2, 2],)]),
        ("Check whether it is sorted.", "def f(arr, n):\n    return arr == sorted(arr)\n", [([1, 2], 2), ([2, 1], 2)]),
        ("Check whether n is a power: n == 2x.", "def f(n):\n    return n & (n - 1) == 0\n", [(4,), (6,), (8,), (7,)]),
        ("Check whether it is a heap.", "def f(arr, i):\n    return arr[i] > 1\n", [([1, 2], 0), ([1, 2], 1)]),
    ],
)
def test_a_problem_that_hides_more_than_an_edit_knows_gives_no_variants(
    executor: Executor, statement: str, solution: str, inputs: Sequence[tuple[object, ...]]
) -> None:
    names: dict[str, Any] = {}
    exec(solution, names)
    cases = tuple(Case(args, names["f"](*args)) for args in inputs)
    bare = Problem("test/more", f"{statement} Call it f(x).", "f", Tests(cases), solution, "test")
    assert Synthesis(executor).variants(bare) == []


def test_what_stands_for_nothing_is_no_result_that_something_was_found(executor: Executor) -> None:
    statement = (
        "Return the index of the first even number.\nIf there is none at all, return -1.\n\nWrite the function f(nums)."
    )
    solution = "def f(nums):\n    return next((i for i, n in enumerate(nums) if n % 2 == 0), -1)\n"
    names: dict[str, Any] = {}
    exec(solution, names)
    inputs = [([2, 1],), ([1, 3],), ([5],), ([7, 9, 11],), ([1, 8],)]
    cases = tuple(Case(args, names["f"](*args)) for args in inputs)
    made = Synthesis(executor).variants(Problem("test/index", statement, "f", Tests(cases), solution, "test"))
    truths = {fact.statement for item in made for fact in item.facts if fact.id == "nothing_found"}
    assert truths == {"If there is none at all, return None."}


def test_a_problem_whose_reference_fails_or_has_other_tests_gives_no_variants(executor: Executor) -> None:
    synthesis, good = Synthesis(executor), problem("yes_no")
    wrong = replace(good, solution="def f(n):\n    return n > 0\n")
    loops = replace(good, solution="def f(n):\n    while True: pass\n")
    asserted = replace(good, tests=Assertions(("assert candidate(1)",)))
    crashes = replace(good, solution="def f(n):\n    import os\n    os._exit(0)\n")
    assert [synthesis.variants(item) for item in (wrong, loops, asserted, crashes)] == [[], [], [], []]


def test_several_facts_stand_in_one_statement_each_with_its_own_tests(executor: Executor) -> None:
    statement = "Write a function to get the even numbers from some numbers. Call it f(numbers)."
    solution = "def f(numbers):\n    return [x for x in numbers if x % 2 == 0]\n"
    cases = tuple(
        Case((xs,), [x for x in xs if x % 2 == 0]) for xs in ([8, 2, 2, 4, 3], [6, 1, 6, 4], [8, 4, 8, 2], [4, 2])
    )
    made = Synthesis(executor).variants(Problem("test/two", statement, "f", Tests(cases), solution, "test"))
    two = [variant for variant in made if len(variant.facts) > 1]
    assert two
    for variant in two:
        assert len(re.findall("Call it f", variant.prompt)) == 1
        assert all(telling.tests >= TELLING for fact in variant.facts for telling in fact.told_by)


def test_no_example_stands_beside_another_hidden_fact_because_it_would_show_that_too(executor: Executor) -> None:
    statement = "Write a function to check whether a word has as many letters as a limit. Call it f(word, limit)."
    solution = "def f(word, limit):\n    return len(word) >= limit\n"
    cases = tuple(Case((w, n), len(w) >= n) for w, n in (("abc", 2), ("ab", 4), ("a", 1), ("abcd", 9), ("xy", 2)))
    seen = Counter[bool]()
    for seed in range(12):
        made = Synthesis(executor, seed).variants(Problem("test/pair", statement, "f", Tests(cases), solution, "test"))
        for variant in made:
            if "inconsistent" in variant.kind:
                several = len(variant.facts) > 1
                assert not (several and "For example" in variant.prompt), variant.prompt
                seen[several] += 1
    assert seen[True] > 5
    assert seen[False] > 5


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("Find the list in a list of lists whose sum is the highest.", "order"),
        ("Start at building 0. Return the index of the building that is the highest.", "index_base"),
    ],
)
def test_a_fact_that_the_statement_settles_in_other_words_is_not_hidden(
    executor: Executor, statement: str, kind: str
) -> None:
    solution = {
        "order": "def f(lists):\n    return max(lists, key=sum)\n",
        "index_base": "def f(lists):\n    return lists.index(max(lists))\n",
    }[kind]
    names: dict[str, Any] = {}
    exec(solution, names)
    inputs = [([[3, 1, 2], [1, 1]],), ([[1], [9, 4, 9]],), ([[5, 5, 1], [2, 8]],), ([[7, 1, 3], [2]],)]
    cases = tuple(Case(args, names["f"](*args)) for args in inputs)
    made = Synthesis(executor).variants(
        Problem("test/told", f"{statement} Call it f(lists).", "f", Tests(cases), solution, "test")
    )
    assert kind not in {fact.id for variant in made for fact in variant.facts}


def test_a_promise_that_is_left_out_leaves_a_problem_clear(executor: Executor) -> None:
    whole = problem("yes_no")
    promised = replace(
        whole, prompt=whole.prompt.replace(" Call it", " You may assume that n is valid, i.e. small. Call it")
    )
    (control,) = [item for item in Synthesis(executor).variants(promised) if item.id.endswith("/control")]
    assert control.is_clear
    assert "assume" not in control.prompt and "small" not in control.prompt
    assert "assume" in control.problem.prompt
    endless = replace(whole, prompt=whole.prompt.replace(" Call it", " You may assume an endless supply. Call it"))
    for said in (whole, endless):  # nothing that could be left out, and something that matters
        assert not any(item.id.endswith("/control") for item in Synthesis(executor).variants(said))


def test_readings_stand_around_a_reference_that_calls_itself() -> None:
    solution = "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\n"
    words = Reading("text", "", (), result="str(result)")
    turned = Reading("turned", "", (), order=(1, 0))
    names: dict[str, object] = {}
    exec(Wrapped(solution, "f", ("n",), (words,)).program(), names)
    assert names["f"](4) == "24"  # type: ignore[operator]  # a function
    exec(Wrapped("def g(a, b):\n    return a - b\n", "g", ("a", "b"), (turned,)).program(), names)
    assert names["g"](1, 9) == 8  # type: ignore[operator]  # as above
    assert Wrapped(solution, "f", ("n",), (Reading("as it is", "", ()),)).program() == solution


def test_more_inputs_keep_to_what_holds_in_all_that_are_known() -> None:
    known = [([1, 3, 5], 3, "ab"), ([2, 4], 2, "ba"), ([0, 7, 8, 9], 4, "aab")]
    made = more_inputs(known, 30, Random(1))
    assert len(made) > 15
    for numbers, length, text in made:
        assert isinstance(numbers, list)
        assert isinstance(text, str)
        assert (numbers, length) == (sorted(numbers), len(numbers))
        assert set(text) <= set("ab")
    assert made == more_inputs(known, 30, Random(1))
    assert not {repr(args) for args in made} & {repr(args) for args in known}


def test_bounds_are_read_as_statements_write_them() -> None:
    text = (
        "Constraints:\n1 <= nums.length <= 10^5\n-2 * 10^4 <= nums[i] < 2^31 - 1\n0 < k, m <= 1,000\n3 ≤ |word| ≤ 9\n"
        "1 <= words[i].length <= 7\n9 <= k2 <= 1"
    )
    found = bounds_in(text, ["nums", "k", "m", "word", "words", "k2"])
    assert found == {
        "nums": Bounds(-20000, 2**31 - 2, 1, 10**5),
        "k": Bounds(1, 1000),
        "m": Bounds(1, 1000),
        "word": Bounds(None, None, 3, 9),
    }


def test_more_inputs_keep_to_the_bounds_of_the_statement_and_go_as_far() -> None:
    known: list[tuple[object, ...]] = [([3, 5], 1), ([4, 4, 6], 2), ([9], 1)]
    bounds = [Bounds(0, 9, 1, 3), Bounds(-2, 3)]
    made = more_inputs(known, 60, Random(0), bounds)
    lists = [args[0] for args in made]
    assert all(
        isinstance(items, list) and 1 <= len(items) <= 3 and 0 <= min(items) <= max(items) <= 9 for items in lists
    )
    assert {args[1] for args in made} <= {-2, -1, 0, 1, 2, 3}
    assert min(int(str(args[1])) for args in made) < 0  # below the known ones, where the statement allows it
    assert all(int(str(args[1])) >= 1 for args in more_inputs(known, 60, Random(0)))


def test_what_gives_a_fact_away_is_looked_for_in_all_that_is_shown() -> None:
    assert clear_of("Find the words.", {"order": r"\bsort\w*"})
    assert not clear_of("Find the words, sorted.", {"order": r"\bsort\w*"})


# ---- files, and what a run draws of them


def own(tmp_path: Path) -> Source:
    path = own_problems.write(tmp_path / "mine.jsonl")
    return load_source("rows", {"path": str(path), **dict(item.split("=") for item in own_problems.FIELDS.split(","))})


def test_the_same_seed_gives_the_same_file_whatever_the_number_of_workers(tmp_path: Path) -> None:
    source, texts = own(tmp_path), []
    for workers in (1, 4):
        out = tmp_path / f"{workers}.jsonl"
        with Executor(servers=workers) as executor:
            came = make([source], [], executor, out)
        texts.append(out.read_text())
        assert (came.problems, came.variants) == (20, len(texts[-1].splitlines()))
    assert texts[0] == texts[1]
    assert next(Made(str(tmp_path / "1.jsonl")).variants()).problem.source == "rows"


def test_an_interrupted_make_goes_on_and_gives_the_same_file(tmp_path: Path, executor: Executor) -> None:
    source = own(tmp_path)
    make([source], [], executor, tmp_path / "whole.jsonl")
    begun = tmp_path / "begun.jsonl"
    make([source], [], executor, begun, limit=7)
    with begun.open("a") as file:
        file.write('{"id": "cut in the mid')
    make([source], [], executor, begun)
    assert begun.read_text() == (tmp_path / "whole.jsonl").read_text()


def test_problems_of_an_evaluation_set_are_left_out(tmp_path: Path, executor: Executor) -> None:
    class Held:
        def read(self) -> Iterator[Problem]:
            kept = next(item for item in own(tmp_path).read() if isinstance(item, Problem))
            yield replace(kept, id="eval/1", prompt="Something else altogether, in other words.")

    out = tmp_path / "made.jsonl"
    came = make([own(tmp_path)], [Held()], executor, out)
    assert came.contaminated == 4  # the four wordings of one function
    assert not any("above" in variant.problem.entry_point for variant in Made(str(out)).variants())


def test_a_source_is_looked_at_before_it_is_used(tmp_path: Path, executor: Executor) -> None:
    good = own(tmp_path)
    report = check_source(good, [good], executor, quiet=True)
    assert (len(report.problems), report.failing, report.usable, report.with_facts) == (20, {}, True, 20)
    assert len(report.contaminated) == 20
    assert set(report.facts) <= set(all_edits())
    console = Console(record=True, width=100, file=None)
    print_source(report, console)
    assert "references that pass their own tests: 20 of 20" in console.export_text()
    (tmp_path / "bad.jsonl").write_text(
        json.dumps({"statement": "x", "solution": "def f(n): return n", "tests": [[[1], 2]]})
    )
    bad = check_source(load_source("rows", {"path": str(tmp_path / "bad.jsonl")}), [], executor, quiet=True)
    assert not bad.usable


def test_variants_can_be_read_and_counted_in_the_terminal(tmp_path: Path, executor: Executor) -> None:
    out = tmp_path / "made.jsonl"
    make([own(tmp_path)], [], executor, out)
    console = Console(record=True, width=120)
    show(out, console, number=2, edit="rounding", seed=1)
    print_stats(out, console)
    text = console.export_text()
    assert text.count("hidden (rounding") == 2
    assert "proof: hidden tests that tell it apart" in text
    assert "unclear variants" in text
    with pytest.raises(DataError, match="no unclear variant with an edit modulus"):
        show(out, console, number=2, edit="modulus", seed=1)


def test_a_draw_has_the_mix_that_was_asked_for_and_keeps_splits_apart(variants: dict[str, list[Variant]]) -> None:
    everything = [variant for made in variants.values() for variant in made]
    mix = MixConfig(
        clear_share=0.5, missing={1: 1.0}, defects={"ambiguous": 1.0, "incomplete": 1.0, "inconsistent": 0.0}
    )
    train = draw(everything, mix, 12, "train", 0, "x")
    assert Counter(variant.is_clear for variant in train) == {True: 6, False: 6}
    assert {variant.kind for variant in train} <= {"clear", "ambiguous", "incomplete"}
    assert train == draw(everything, mix, 12, "train", 0, "x")
    assert len({fact.id for variant in train for fact in variant.facts}) > 3  # edits take turns
    test = draw(everything, mix, 2, "test", 0, "x")
    assert not {variant.problem.family for variant in train} & {variant.problem.family for variant in test}
    with pytest.raises(DataError, match=r"There are \d+ clear ones of x, test, and 200 are asked for"):
        draw(everything, mix, 400, "test", 0, "x")


def test_a_rehearsal_takes_a_problem_that_hides_something(tmp_path: Path) -> None:
    path = own_problems.write(tmp_path / "mine.jsonl")
    options = {"path": str(path), **dict(item.split("=") for item in own_problems.FIELDS.split(","))}
    config = load_config("demo").model_copy(update={"sources": {"mine": SourceConfig(use="rows", options=options)}})
    assert unclear_one(config, "mine").facts
    assert PartConfig().sources == {"bank": 1.0}
