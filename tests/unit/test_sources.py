"""Sources of problems: tests of every form become hidden tests that the reference passes; bad rows are named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.errors import ConfigError, DataError
from clarify_rl.executor import Executor, Trial
from clarify_rl.problems.overlap import Statements, behaviours, group_of, same_behaviour, splits
from clarify_rl.problems.programs import as_pairs
from clarify_rl.registry import load_source, source_from_text
from clarify_rl.types import Assertions, Case, Problem, Skipped, Source, Stdio, Tests

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")
DOUBLE = {"statement": "Double a number.", "solution": "def double(n):\n    return 2 * n\n"}


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor() as made:
        yield made


def rows(path: Path, *fields: Mapping[str, Any], **options: object) -> list[Problem | Skipped]:
    path.write_text("".join(json.dumps(row) + "\n" for row in fields))
    return list(load_source("rows", {"path": str(path), **options}).read())


def passes(problem: Problem, executor: Executor) -> bool:
    trial = Trial(problem.solution, problem.entry_point, problem.tests, problem.prelude)
    return executor.run_trial(trial).solved


@pytest.mark.parametrize(
    ("tests", "kind"),
    [
        (["assert double(2) == 4", "assert double(0) == 0"], Tests),
        ("assert double(2) == 4\nassert double(-1) == -2\n", Tests),
        (["assert abs(double(0.5) - 1) < 1e-9"], Assertions),
        ("def check(candidate):\n    assert candidate(3) == 6\n", Assertions),
        ([{"input": [2], "output": 4}], Tests),
        ([[[2], 4], [[3], 6]], Tests),
        ([{"args": [2], "expected": 4}], Tests),
        ({"inputs": [[2], [3]], "outputs": [4, 6]}, Tests),
    ],
)
def test_tests_of_every_form_are_passed_by_the_reference_and_not_by_another(
    tests: object, kind: type, executor: Executor, tmp_path: Path
) -> None:
    (problem,) = rows(tmp_path / "mine.jsonl", {**DOUBLE, "tests": tests})
    assert isinstance(problem, Problem)
    assert isinstance(problem.tests, kind)
    assert problem.entry_point == "double"
    assert passes(problem, executor)
    wrong = Trial("def double(n):\n    return 3 * n + 1\n", "double", problem.tests)
    assert not executor.run_trial(wrong).solved


@pytest.mark.parametrize(
    "tests", [[{"input": "3\n", "output": "6\n"}], {"inputs": ["3\n"], "outputs": ["6"]}], ids=["rows", "columns"]
)
def test_programs_that_read_and_print_are_problems_too(tests: object, executor: Executor, tmp_path: Path) -> None:
    row = {"statement": "Double it.", "solution": "print(2 * int(input()))", "tests": tests}
    (problem,) = rows(tmp_path / "mine.jsonl", row, stdio=True)
    assert isinstance(problem, Problem)
    assert isinstance(problem.tests, Stdio)
    assert passes(problem, executor)


def test_fields_may_have_any_names(executor: Executor, tmp_path: Path) -> None:
    row = {"q": "Double it.", "code": "def a(n): return n\ndef b(n): return 2 * a(n)", "fn": "b", "t": [[[2], 4]]}
    names = {"statement": "q", "reference": "code", "entry_point": "fn", "tests": "t"}
    (problem,) = rows(tmp_path / "mine.jsonl", row, **names)
    assert isinstance(problem, Problem)
    assert (problem.entry_point, passes(problem, executor)) == ("b", True)


def test_a_bad_row_is_named_by_file_and_line_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    good = json.dumps({**DOUBLE, "tests": [[[2], 4]]})
    bad = [
        "{not json",
        "[1]",
        json.dumps({"statement": "x", "tests": [[[1], 1]]}),
        json.dumps({**DOUBLE, "tests": 7}),
        json.dumps({**DOUBLE, "solution": "def f(", "tests": ["assert f(1) == 1"]}),
        json.dumps({**DOUBLE, "solution": "def f(n): return n\ndef g(n): return n", "tests": [[[1], 1]]}),
    ]
    path.write_text("\n".join([good, *bad, good]) + "\n")
    found = list(load_source("rows", {"path": str(path)}).read())
    assert [isinstance(item, Problem) for item in found] == [True, *[False] * len(bad), True]
    whys = [item for item in found if isinstance(item, Skipped)]
    assert [why.where for why in whys] == [f"{path}, line {number}" for number in range(2, 8)]
    assert "not JSON" in whys[0].why
    assert "'solution' should hold text, found nothing; the fields are statement, tests" in whys[2].why
    assert "a form that is not known" in whys[3].why
    assert "no Python program" in whys[4].why
    assert "defines 2 functions" in whys[5].why


def test_gzipped_lines_and_json_lists_are_read_alike(tmp_path: Path) -> None:
    row = {**DOUBLE, "tests": [[[2], 4]]}
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    (tmp_path / "a.json").write_text(json.dumps([row]))
    first, second = (
        list(load_source("rows", {"path": str(tmp_path / name)}).read()) for name in ("a.jsonl.gz", "a.json")
    )
    assert first == second


def test_a_file_that_is_not_there_or_is_cut_short_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No file nowhere\.jsonl"):
        list(load_source("rows", {"path": "nowhere.jsonl"}).read())
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:40])
    with pytest.raises(DataError, match="cannot be read behind line"):
        list(load_source("rows", {"path": str(tmp_path / "cut.jsonl.gz")}).read())


def test_apps_folders_and_rows_give_the_same_problems(executor: Executor, tmp_path: Path) -> None:
    called = {"fn_name": "double", "inputs": [[2], [3]], "outputs": [4, 6]}
    prints = {"inputs": ["3\n"], "outputs": ["6\n"]}
    texts = [(called, DOUBLE["solution"]), (prints, "print(2 * int(input()))")]
    lines = []
    for number, (tests, solution) in enumerate(texts):
        folder = tmp_path / "apps" / f"{number:04}"
        folder.mkdir(parents=True)
        files = {"question": "Double it.", "input_output": json.dumps(tests), "solutions": json.dumps([solution])}
        for name, text in files.items():
            (folder / f"{name}.{'txt' if name == 'question' else 'json'}").write_text(text)
        lines.append(json.dumps({"problem_id": f"{number:04}", **files}))
    (tmp_path / "apps.jsonl").write_text("\n".join(lines))
    from_folders, from_rows = (
        list(load_source("apps", {"path": str(tmp_path / name)}).read()) for name in ("apps", "apps.jsonl")
    )
    assert from_folders == from_rows
    assert [type(problem.tests) for problem in from_folders if isinstance(problem, Problem)] == [Tests, Stdio]
    assert all(passes(problem, executor) for problem in from_folders if isinstance(problem, Problem))


def test_a_source_in_a_shell_takes_its_options_behind_commas(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("")
    made = source_from_text(f"rows,path={tmp_path / 'mine.jsonl'},stdio=true")
    assert list(made.read()) == []
    with pytest.raises(ConfigError, match="'mine' is no option"):
        source_from_text("rows,mine")
    with pytest.raises(ConfigError, match=r"No source named 'row'. Did you mean 'rows'"):
        source_from_text("row,path=x")
    with pytest.raises(ConfigError, match="does not take these options"):
        source_from_text("rows,pth=x")


def test_a_source_of_ones_own_is_a_class_with_read(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from clarify_rl.types import Case, Problem, Tests\n"
        "class Mine:\n"
        "    def read(self):\n"
        "        yield Problem('m/1', 'Double it.', 'f', Tests((Case((1,), 2),)), 'def f(n): return 2 * n', 'mine')\n"
    )
    (problem,) = load_source(f"{tmp_path / 'mine.py'}:Mine", {}).read()
    assert isinstance(problem, Problem)
    assert problem.source == "mine"


@pytest.mark.parametrize(
    ("check", "case"),
    [
        ("assert f(1, [2]) == 3", Case((1, [2]), 3)),
        ("assert f((1,)) == (2, 'a')", Case(((1,),), (2, "a"))),
        ("assert f(1)", Case((1,), True)),
        ("assert not f(1)", Case((1,), False)),
        ("assert f(b=2, a=1) == 3", Case((1, 2), 3)),
        ("assert g(1) == 2", None),
        ("assert f(int) == 2", None),
        ("assert f(1) < 2", None),
        ("assert sorted(f(1)) == [2]", None),
    ],
)
def test_an_assertion_is_a_pair_where_it_compares_a_call_with_plain_data(check: str, case: Case | None) -> None:
    assert as_pairs([check], ["f"], ("a", "b")) == (None if case is None else Tests((case,), "close:0"))


# ---- the same problem under another name


def problem(name: str, statement: str, solution: str, *cases: Case) -> Problem:
    return Problem(name, statement, "f", Tests(cases), solution, "test")


def test_the_same_behaviour_is_found_whatever_the_words(executor: Executor) -> None:
    cases = (Case(([1, 2],), 3), Case(([5],), 5), Case(([],), 0))
    known = behaviours([problem("eval/sum", "Return the sum of a list.", "", *cases)])
    same = problem("a", "Add all numbers up.", "def f(numbers):\n    return sum(numbers)\n", *cases)
    other = problem("b", "Find the largest.", "def f(numbers):\n    return max(numbers, default=0)\n", *cases)
    loops = problem("c", "Never ends.", "def f(numbers):\n    while True: pass\n", *cases)
    assert [[item.id for item in same_behaviour(one, known, executor)] for one in (same, other, loops)] == [
        ["eval/sum"],
        [],
        [],
    ]


def test_nearly_the_same_words_are_found_and_others_are_not() -> None:
    words = "find the second smallest number of a given list of numbers"
    near = problem("a", f"Write a function to {words}.", "")
    copy = problem("b", f"Write a python function to {words} quickly.", "")
    other = problem("c", "Write a function to count the vowels of a text.", "")
    assert [(first.id, second.id) for first, second in Statements([near, copy, other]).pairs()] == [("a", "b")]
    assert [same.id for same in Statements([near, other]).like(copy)] == ["a"]


def test_splits_are_the_same_for_more_problems_and_leave_none_empty() -> None:
    groups = [group_of(f"problem number {n} about thing {n * 7}") for n in range(400)]
    whole = splits(groups)
    assert splits(groups[:200]).items() <= whole.items()
    assert 0.7 < list(whole.values()).count("train") / 400 < 0.9
    for few in (3, 5, 20):
        assert set(splits(groups[:few]).values()) == {"train", "dev", "test"}


# ---- public sets


@needs_data
@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("spec", "file", "problems", "skipped"),
    [
        ("mbpp", "mbpp.jsonl", 973, 1),
        ("mbpp", "sanitized-mbpp.json", 427, 0),
        ("leetcode", "LeetCodeDataset-v0.2.0-train.jsonl.gz", 1877, 13),
        ("humaneval", "HumanEval.jsonl", 164, 0),
        ("humaneval_comm", "HumanEvalComm.jsonl", 164, 0),
        ("humaneval_comm", "HumanEvalComm_v2.jsonl", 164, 0),
    ],
)
def test_every_row_of_a_public_set_is_a_problem_or_told_of(
    spec: str, file: str, problems: int, skipped: int, executor: Executor
) -> None:
    source: Source = load_source(spec, {"path": str(SHARED / file)})
    found = list(source.read())
    kept = [item for item in found if isinstance(item, Problem)]
    assert (len(kept), len(found) - len(kept)) == (problems, skipped)
    assert len({item.id for item in kept}) == problems
    some = kept[:: max(1, problems // 25)]
    assert sum(passes(item, executor) for item in some) >= len(some) - 1


def test_mbpp_tests_may_build_objects_of_the_programs_own_class_and_those_that_give_types_are_told_of(
    tmp_path: Path, executor: Executor
) -> None:
    own_class = {
        "task_id": 1,
        "text": "Find the depth of a tree.",
        "code": "class Node:\n    def __init__(self, v):\n        self.v = v\ndef value(node):\n    return node.v\n",
        "test_setup_code": "root = Node(3)",
        "test_list": ["assert value(root) == 3"],
    }
    types = {
        "task_id": 2,
        "text": "Leave out a type.",
        "code": "def without(xs, kind):\n    return [x for x in xs if not isinstance(x, kind)]\n",
        "test_setup_code": "",
        "test_list": ["assert without([1, 'a'], int) == ['a']"],
    }
    number = {
        "task_id": 3,
        "text": "Tell whether a list has an item.",
        "code": "def has(xs, x):\n    for y in xs:\n        if x == y:\n            return 1\n    return 0\n",
        "test_setup_code": "",
        "test_list": ["assert has([1], 1) == True", "assert has([1], 2) == False"],
    }
    (tmp_path / "mbpp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (own_class, types, number)))
    tree, skipped, has = load_source("mbpp", {"path": str(tmp_path / "mbpp.jsonl")}).read()
    assert isinstance(has, Problem) and passes(has, executor), "1 is as good as True by =="
    assert isinstance(tree, Problem) and passes(tree, executor)
    assert isinstance(skipped, Skipped) and "give the type int" in skipped.why


def test_the_bank_is_a_source_like_any_other(executor: Executor) -> None:
    problems = [item for item in source_from_text("bank,count=12,split=dev").read() if isinstance(item, Problem)]
    assert len({item.id for item in problems}) == 12
    assert problems == list(source_from_text("bank,count=12,split=dev").read())
    assert problems != list(source_from_text("bank,count=12,split=dev,seed=1").read())
    trials = [Trial(item.solution, item.entry_point, item.tests) for item in problems]
    assert all(execution.solved for execution in executor.run_all(trials))
