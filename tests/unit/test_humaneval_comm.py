"""HumanEvalComm's loader, on rows of our own in its format, and on the real file where there is one."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from clarify_rl.errors import DataError
from clarify_rl.executor import Executor, Limits
from clarify_rl.problems.expressions import parse_arguments
from clarify_rl.problems.hidden_facts import hidden_facts
from clarify_rl.problems.humaneval_comm import load_humaneval_comm
from clarify_rl.registry import load_user
from clarify_rl.types import Assertions, Case, Defect, Tests, Variant

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "HumanEvalComm.jsonl"

ORIGINAL = '''def keep_small(numbers: list, cap: int) -> list:
    """ Keep the numbers that are at most cap. The result is in descending order.
    >>> keep_small([3, 9, 1], 5)
    [3, 1]
    >>> keep_small([], 5)
    []
    """
'''
AMBIGUOUS = '''def candidate(numbers: list, x: int) -> list:
    """ Keep the numbers that are at most cap. The result is in some order.
    >>> candidate([3, 9, 1], 5)
    [3, 1]
    >>> candidate([], 5)
    []
    """
'''
INCONSISTENT = ORIGINAL.replace("[3, 1]", "[9]")
INCOMPLETE = '''def keep_small(numbers: list, cap: int) -> list:
    """ Keep the numbers that are at most cap.
    """
'''
SOLUTION = "def keep_small(numbers, cap):\n    return sorted((n for n in numbers if n <= cap), reverse=True)\n"


def row(number: int, **changes: object) -> dict[str, object]:
    """One problem in the data set's format."""
    tests = [
        {"input": "[3, 9, 1], 5", "output": "[3, 1] ", "relation": "=="},
        {"input": "[2] * 2, 2 ** 3", "output": "[2, 2]", "relation": "=="},
    ]
    made: dict[str, object] = {
        "name": f"Made/{number}",
        "prompt": ORIGINAL,
        "prompt1a": AMBIGUOUS,
        "prompt1c": INCONSISTENT,
        "prompt1p": INCOMPLETE,
        "prompt2cp": None,
        "entry_point": "keep_small",
        "solution": SOLUTION,
        "test_case": tests,
    }
    return made | changes


def write(folder: Path, *rows: dict[str, object]) -> str:
    path = folder / "made.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return str(path)


def reference_failures(variants: tuple[Variant, ...]) -> list[str]:
    """Problems whose reference solution does not pass all of its hidden tests."""
    problems = {variant.problem.id: variant.problem for variant in variants}
    with Executor(Limits(cpu_s=5.0)) as executor:
        executions = {
            name: executor.run(problem.solution, problem.entry_point, problem.tests)
            for name, problem in problems.items()
        }
    return [f"{name}: {execution.detail}" for name, execution in executions.items() if not execution.solved]


def test_each_problem_gives_its_clear_original_and_the_variants_that_it_has(tmp_path: Path) -> None:
    loaded = load_humaneval_comm(write(tmp_path, row(0)))
    assert [(variant.id, variant.kind) for variant in loaded.variants] == [
        ("Made/0/prompt", "clear"),
        ("Made/0/prompt1a", "ambiguous"),
        ("Made/0/prompt1c", "inconsistent"),
        ("Made/0/prompt1p", "incomplete"),
    ]
    assert loaded.variants[0].facts == ()
    assert {variant.problem.entry_point for variant in loaded.variants} == {"keep_small"}
    assert reference_failures(loaded.variants) == []


def test_tests_are_calls_and_the_text_that_they_print(tmp_path: Path) -> None:
    tests = load_humaneval_comm(write(tmp_path, row(0))).variants[0].problem.tests
    assert tests == Tests((Case(([3, 9, 1], 5), "[3, 1]"), Case(([2, 2], 8), "[2, 2]")), compare="printed")


def test_a_relation_becomes_an_assertion_beside_the_helpers_of_the_statement(tmp_path: Path) -> None:
    close = {"input": "[2, 1], 1", "output": "1e-6", "relation": "abs(sum(candidate([2, 1], 1)) - 1) < 1e-6"}
    program = "from $demo$ import keep_small\nsmall = keep_small($input$)\nprint(len(small) == 1)"
    tests = [{"input": "[9, 8], 8", "output": "[8] ", "relation": "=="}, close]
    tests += [{"input": "[1, 3], 2", "output": "True", "relation": program}]
    loaded = load_humaneval_comm(write(tmp_path, row(0, test_case=tests)))
    checks = (
        "assert str(candidate([9, 8], 8)).rstrip() == '[8]'",
        "assert abs(sum(candidate([2, 1], 1)) - 1) < 1e-6",
        "small = keep_small([1, 3], 2)\nassert len(small) == 1",
    )
    assert loaded.variants[0].problem.tests == Assertions(checks, setup=ORIGINAL)
    assert loaded.skipped == ()
    assert reference_failures(loaded.variants) == []


def test_a_variant_with_several_defects_leaves_open_which_fact_has_which(tmp_path: Path) -> None:
    loaded = load_humaneval_comm(write(tmp_path, row(0, prompt2cp=INCOMPLETE.replace("at most cap", "small"))))
    variant = loaded.variants[-1]
    assert variant.kind == "incomplete+inconsistent"
    assert {fact.defect for fact in variant.facts} == {None}
    assert {fact.defect for fact in loaded.variants[1].facts} == {Defect.AMBIGUOUS}


def test_facts_are_the_sentences_and_examples_that_the_variant_lost_or_changed() -> None:
    facts = {fact.id: fact for fact in hidden_facts(ORIGINAL, INCONSISTENT, "keep_small", Defect.INCONSISTENT)}
    assert list(facts) == ["example-3"]
    assert facts["example-3"].statement == "For example, keep_small([3, 9, 1], 5) -> [3, 1]"
    assert facts["example-3"].replaced_by == "keep_small([3, 9, 1], 5) -> [9]"
    lost = hidden_facts(ORIGINAL, INCOMPLETE, "keep_small", Defect.INCOMPLETE)
    assert [fact.id for fact in lost] == ["sentence-2", "examples"]
    assert lost[0].statement == "The result is in descending order."
    assert lost[0].replaced_by == ""


def test_a_changed_signature_is_a_fact_and_the_last_one() -> None:
    facts = hidden_facts(ORIGINAL, AMBIGUOUS, "keep_small", Defect.AMBIGUOUS)
    assert [fact.id for fact in facts] == ["sentence-2", "signature"]
    assert "keep_small(numbers: list, cap: int)" in facts[-1].statement


def test_an_unchanged_prompt_hides_nothing() -> None:
    assert hidden_facts(ORIGINAL, ORIGINAL, "keep_small", None) == ()


def test_a_question_reveals_the_sentence_that_it_is_about_and_no_other(tmp_path: Path) -> None:
    variant = load_humaneval_comm(write(tmp_path, row(0))).variants[-1]
    user = load_user("rule_based", {})
    answer = user.answer(variant, ["In what order should the result be sorted?"], (), 0)
    assert answer.revealed == ("sentence-2",)
    assert answer.text == "The result is in descending order."
    empty = user.answer(variant, ["What should an empty list give?"], (), 0)
    assert empty.revealed == ("examples",)


def test_a_long_sentence_is_told_in_parts() -> None:
    clauses = [f"clause number {i} says that something about topic{i} holds" for i in range(4)]
    original = 'def f(x):\n    """' + ",\n    ".join(clauses) + '."""\n'
    facts = hidden_facts(original, 'def f(x):\n    """Do it."""\n', "f", None)
    assert len(facts) == 4


def test_a_problem_with_an_input_that_cannot_be_read_is_skipped_and_reported(tmp_path: Path) -> None:
    unreadable = {"input": "open('x')", "output": "1", "relation": "=="}
    loaded = load_humaneval_comm(write(tmp_path, row(0), row(1, test_case=[unreadable])))
    assert {variant.problem.id for variant in loaded.variants} == {"Made/0"}
    assert len(loaded.skipped) == 1
    assert loaded.skipped[0].startswith("Made/1: 1 of 1 inputs cannot be read")
    assert "1 problems skipped" in loaded.summary()
    with pytest.raises(DataError, match="no usable problem"):
        load_humaneval_comm(write(tmp_path, row(1, test_case=[unreadable])))


@pytest.mark.parametrize("limit", [2, 7, 20, 39])
def test_a_limit_keeps_every_variant_with_its_original_and_is_the_same_each_time(tmp_path: Path, limit: int) -> None:
    source = write(tmp_path, *(row(number) for number in range(10)))
    sample = load_humaneval_comm(source, limit=limit, seed=3).variants
    assert limit - 3 <= len(sample) <= limit
    clear = {variant.problem.id for variant in sample if variant.is_clear}
    assert clear == {variant.problem.id for variant in sample if not variant.is_clear}
    counts = Counter(variant.kind for variant in sample if not variant.is_clear)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sample == load_humaneval_comm(source, limit=limit, seed=3).variants


def test_another_seed_draws_another_sample(tmp_path: Path) -> None:
    source = write(tmp_path, *(row(number) for number in range(10)))
    samples = [load_humaneval_comm(source, limit=4, seed=seed).variants for seed in range(5)]
    assert len({tuple(variant.id for variant in sample) for sample in samples}) > 1


def test_a_limit_above_the_size_keeps_everything(tmp_path: Path) -> None:
    assert len(load_humaneval_comm(write(tmp_path, row(0)), limit=1000).variants) == 4
    with pytest.raises(DataError, match="at least 2"):
        load_humaneval_comm(write(tmp_path, row(0)), limit=1)


def test_a_gzipped_file_reads_the_same(tmp_path: Path) -> None:
    source = write(tmp_path, row(0))
    packed = tmp_path / "made.jsonl.gz"
    packed.write_bytes(gzip.compress(Path(source).read_bytes()))
    assert load_humaneval_comm(str(packed)) == load_humaneval_comm(source)


def test_bad_sources_say_what_to_give_instead(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No file absent\.jsonl.*jie-jw-wu/HumanEvalComm"):
        load_humaneval_comm("absent.jsonl")
    with pytest.raises(DataError, match="row 1 lacks solution"):
        load_humaneval_comm(write(tmp_path, row(0, solution="")))
    broken = tmp_path / "broken.jsonl"
    broken.write_text(json.dumps(row(0)) + "\n{", encoding="utf-8")
    with pytest.raises(DataError, match="line 2 is not JSON"):
        load_humaneval_comm(str(broken))


def test_the_hub_out_of_reach_says_to_give_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def unreachable(name: str) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError, match=r"no network.*download HumanEvalComm\.jsonl and give its path"):
        load_humaneval_comm("somebody/HumanEvalComm")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("[1, 2], 'a'", ([1, 2], "a")),
        ("'ab' + 'c', -3 * 2", ("abc", -6)),
        ("float('inf'), {1: (2,)}, {3}, set()", (float("inf"), {1: (2,)}, {3}, set())),
        ("[0] * 3", ([0, 0, 0],)),
        (" ", ()),
        ("1, # one\n 2", (1, 2)),
    ],
)
def test_arguments_may_be_plain_arithmetic(text: str, arguments: tuple[object, ...]) -> None:
    assert parse_arguments(text) == arguments


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "x",
        "9 ** 9 ** 9",
        "'a' * 10 ** 9",
        "[x for x in (1,)]",
        "().__class__",
        "1 / 0",
        "(",
        "-'a'",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_arguments(text)


@pytest.mark.shared_data
@pytest.mark.skipif(not REAL.is_file(), reason=f"needs {REAL.name} in shared/data beside the repository")
def test_the_real_file_loads_and_its_references_pass_every_test() -> None:
    loaded = load_humaneval_comm(str(REAL))
    assert loaded.skipped == ()
    assert Counter(variant.kind for variant in loaded.variants) == {
        "clear": 164,
        "ambiguous": 164,
        "inconsistent": 164,
        "incomplete": 164,
        "ambiguous+inconsistent": 162,
        "ambiguous+incomplete": 74,
        "incomplete+inconsistent": 34,
        "ambiguous+incomplete+inconsistent": 13,
    }
    assert loaded.without_facts == ("HumanEval/151/prompt2ac",)
    assert reference_failures(loaded.variants) == []
