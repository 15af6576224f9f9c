"""The benchmarks' own logic: what a mutant is, and how data sets become hidden tests."""

import ast

import pytest

from benchmarks import trl_step
from benchmarks.dispatch_model import Costs, FixedChunks, SimulatedWorker, durations, simulate
from benchmarks.mutants import mutants
from benchmarks.problem_sets import called_function, helpers, relation_check

PROGRAM = '''
def count(numbers: list[int]) -> int:
    """Counts 1 and 2."""
    total = 0
    for i in range(len(numbers)):
        if numbers[i] > 2 and not numbers[i] == 1:
            total += 1
    return total
'''


def test_a_mutant_differs_from_its_program_in_one_place_and_still_compiles() -> None:
    original = ast.unparse(ast.parse(PROGRAM)).splitlines()
    found = mutants(PROGRAM, 100, "seed")
    assert len({mutant.program for mutant in found}) == len(found) > 10
    for mutant in found:
        compile(mutant.program, "<mutant>", "exec")
        lines = mutant.program.splitlines()
        assert sum(line != before for line, before in zip(lines, original, strict=True)) == 1, mutant.change


@pytest.mark.parametrize(
    "line",
    [
        "    total = 1",
        "    for i in range(len(numbers) + -1):",
        "        if numbers[i] >= 2 and (not numbers[i] == 1):",
        "        if numbers[i] > 2 or not numbers[i] == 1:",
        "        if numbers[i] > 2 and numbers[i] == 1:",
        "        if not (numbers[i] > 2 and (not numbers[i] == 1)):",
        "            pass",
        "    return None",
    ],
)
def test_every_kind_of_change_is_among_the_mutants(line: str) -> None:
    assert any(line in mutant.program.splitlines() for mutant in mutants(PROGRAM, 100, "seed"))


def test_mutants_are_the_same_for_the_same_seed_and_leave_the_given_lines_alone() -> None:
    assert mutants(PROGRAM, 5, "a") == mutants(PROGRAM, 5, "a") != mutants(PROGRAM, 5, "b")
    assert {mutant.change for mutant in mutants(PROGRAM, 100, "a", first_line=8)} == {"line 8: None returned"}


def test_helpers_are_the_prompt_without_the_function_that_is_asked_for() -> None:
    prompt = 'import math\ndef poly(x):\n    return x\ndef find(x):\n    """Finds x."""\n'
    assert helpers(prompt, "find") == "import math\n\ndef poly(x):\n    return x"


def test_a_relation_becomes_an_assertion() -> None:
    assert relation_check("abs(candidate(1.5) - 0.5) < 1e-6", "1.5") == "assert abs(candidate(1.5) - 0.5) < 1e-06"
    program = "from $demo$ import poly\nx = find($input$)\nprint(abs(poly($input$, x)) < 1e-4)"
    assert relation_check(program, [1, 2]) == "x = find([1, 2])\nassert abs(poly([1, 2], x)) < 0.0001"


def test_the_called_function_is_not_a_class_that_a_check_also_uses() -> None:
    program = "class Pair:\n    pass\ndef longest(pairs):\n    return 1\n"
    assert called_function(program, "assert longest([Pair(), Pair()]) == 1") == "longest"


@pytest.mark.slow
def test_a_step_of_both_trainers_is_timed_by_its_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--steps", "2", "--prompts", "2", "--generations", "2", "--tokens", "8"]
    monkeypatch.setattr("sys.argv", ["trl_step", *sizes])
    trl_step.main()
    told = capsys.readouterr().out
    for part in ("generation", "environment", "update", "step"):
        assert f"| {part} |" in told
    assert "x the time of a step of TRL: at most 1.05" in told


FREE = Costs(0.0, 0.0, 0.0, 0.0)


def test_simulated_workers_do_what_arithmetic_says() -> None:
    assert SimulatedWorker(2).seconds([1.0, 1.0, 1.0]) == 2.0
    assert simulate([1.0] * 12, [SimulatedWorker(2)] * 3, FREE, FixedChunks(size=2)) == 2.0


def test_a_simulated_driver_is_the_limit_where_its_chunks_cost_more_than_the_work() -> None:
    costs, items = Costs(0.001, 0.0, 0.0, 0.0), durations(4000, 0.1)
    workers = [SimulatedWorker(1)] * 1000
    assert simulate(items, workers, costs, FixedChunks(size=1)) == pytest.approx(4.0, rel=0.1)
