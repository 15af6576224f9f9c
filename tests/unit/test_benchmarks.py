"""The benchmarks' own logic: what a mutant is, and how data sets become hidden tests."""

import ast
from pathlib import Path

import pytest

from benchmarks import trl_step
from benchmarks.dispatch_model import Costs, FixedChunks, SimulatedWorker, durations, simulate
from benchmarks.mutants import mutants
from benchmarks.references import Reference, passes
from benchmarks.rl_settings import START, Job, Setting, _copy_start, against_first
from benchmarks.value_of_information import spearman
from clarify_rl.config_files import saved_config
from clarify_rl.store import Run
from clarify_rl.types import Assertions, Case, HiddenTests, Problem, Results, Tests
from tests.unit.test_paired import results

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


def reference(tests: HiddenTests) -> Reference:
    solution = "def twice(n):\n    return twice(n - 1) + 2 if n else 0\n"
    return Reference(Problem("test/twice", "Double it.", "twice", tests, solution, "test", prelude="import math\n"))


@pytest.mark.parametrize(
    "tests",
    [
        Tests((Case((3,), 6), Case((0,), 0)), "close:0"),
        Tests((Case((3,), "6 "),), "printed"),
        Assertions(("assert twice(3) == math.floor(6.5)",)),
        Assertions(("check(candidate)",), "def twice(n): ...\ndef check(candidate):\n    assert candidate(3) == 6"),
    ],
)
def test_a_script_of_a_problems_tests_passes_the_reference_and_fails_a_mutant(tests: HiddenTests) -> None:
    own = reference(tests)
    assert passes(own.followed(own.problem.solution), 2)
    assert not passes(own.followed(own.problem.solution.replace("+ 2", "+ 3")), 2)


def test_a_statement_that_begins_the_solution_is_not_mutated() -> None:
    prompt = 'def f(x):\n    "Adds 1."\n'
    given = Reference(Problem("a", prompt, "f", Tests((Case((1,), 2),)), f"{prompt}    return x + 1\n", "test"))
    assert given.first_line == 3
    assert reference(Tests((Case((1,), 2),))).first_line == 1


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


def test_a_rank_correlation_shares_ranks_among_equals_and_is_none_where_one_side_is_constant() -> None:
    assert spearman([(1.0, 10.0, 0), (2.0, 30.0, 0), (2.0, 20.0, 1), (3.0, 40.0, 1)]) == pytest.approx(0.9487, abs=1e-4)
    assert spearman([(1.0, 3.0, 0), (2.0, 2.0, 0), (3.0, 1.0, 1)]) == pytest.approx(-1.0)
    assert spearman([(1.0, 3.0, 0), (1.0, 2.0, 0)]) == 0.0


def test_a_setting_goes_on_from_the_sft_checkpoint_with_all_that_was_evaluated(tmp_path: Path) -> None:
    start = Job("demo", 3, Setting(START, ("rl=null",)), tmp_path)
    with Run.create(start.run_folder, "", ["test"]) as run:
        run.add_metrics("sft", 1, {"loss": 1.0})
        for stage in ("data", "sft", "eval-base-new_instances", "eval-sft-new_instances"):
            run.mark_done(stage, 1.0)
        for folder in ("data", "models", "episodes"):
            (run.folder / folder).mkdir()
    job = Job("demo", 3, Setting("more", ("rl.trainer.max_steps=9",)), tmp_path)
    _copy_start(start.run_folder, job)
    with Run(job.run_folder) as run:
        assert set(run.done()) == {
            "sft",
            "eval-base-new_instances",
            "eval-sft-new_instances",
        }  # RL's data are to be made
    saved = saved_config(job.run_folder)
    assert saved.rl is not None
    assert (saved.seed, saved.rl.trainer["max_steps"]) == (3, 9)


def test_settings_are_compared_with_the_first_by_seed_and_problem() -> None:
    def final(outcomes: str) -> tuple[Results, Results]:
        return results("rl", outcomes), results("rl", outcomes)

    rows = against_first(
        {"plain": {0: final("0011"), 1: final("0001")}, "better": {0: final("0111"), 1: final("0111")}}
    )
    assert rows[2] == "| plain |  |  |  |  | 0.00 |"
    name, solved, each, unclear, clear, questions = (cell.strip() for cell in rows[3].strip("|").split("|"))
    assert (name, each, unclear, questions) == ("better", "+25.0, +50.0", "", "0.00")  # no variant is unclear
    assert solved.startswith("+37.5 (")
    assert clear.startswith("+0.0 (")
