"""Runs the references of any source of problems through the executor, and mutants of them.

    python -m benchmarks.references humaneval,path=HumanEval.jsonl mbpp,path=mbpp.jsonl --mutants 5

Every reference must pass. A mutant differs from a reference in one place: the executor may not pass one that fails the
same tests in a plain interpreter (a false pass). The plain interpreter is isolated as by `python -I`, but with the
executor's hash seed and without packages, so that both run the program alike. Exits with 1 after a false pass, or when
a reference fails that a plain interpreter passes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from tqdm import tqdm

from benchmarks.mutants import Mutant, mutants
from clarify_rl.executor import Executor, Limits, Trial, capabilities
from clarify_rl.registry import source_from_text
from clarify_rl.types import Case, Execution, Problem, Skipped, Stdio, Tests

MUTANT_CPU_S = 1.0
# A second more, so that a program near the limit counts as stricter here, never as a false pass.
PLAIN_CPU_S = 2
WALL_S = 120.0


@dataclass(frozen=True)
class Judged:
    """A program, what it is, what the executor says of it, and whether it passes in a plain interpreter."""

    name: str
    execution: Execution
    plain: bool

    @property
    def false_pass(self) -> bool:
        return self.execution.solved and not self.plain

    @property
    def stricter(self) -> bool:
        return self.plain and not self.execution.solved

    def __str__(self) -> str:
        execution = self.execution
        return (
            f"  {self.name}: {execution.verdict}, {execution.passed} of {execution.total}, "
            f"{execution.cpu_s:.2f} CPU s; {execution.detail or 'no detail'}; "
            f"a plain interpreter {'passes' if self.plain else 'fails'} it"
        )


@dataclass(frozen=True)
class Reference:
    """A problem's reference, with its hidden tests as text that can follow it.

    `first_line` is where the solution itself begins, behind what the statement gives.
    """

    problem: Problem

    @property
    def first_line(self) -> int:
        given = self.problem.prompt
        return given.count("\n") + 1 if self.problem.solution.startswith(given) else 1

    @property
    def script(self) -> str:
        name, tests = self.problem.entry_point, self.problem.tests
        assert not isinstance(tests, Stdio)
        if isinstance(tests, Tests):
            return "\n".join(self._assertion(case, printed=tests.compare == "printed") for case in tests.cases)
        # What stands before the checks may define the function anew, still empty.
        return "\n".join([f"candidate = {name}", tests.setup, f"{name} = candidate", *tests.checks])

    def _assertion(self, case: Case, *, printed: bool) -> str:
        call = f"{self.problem.entry_point}({', '.join(map(repr, case.args))})"
        if printed:
            return f"assert str({call}).rstrip() == {str(case.expected).rstrip()!r}"
        return f"assert {call} == {case.expected!r}"

    def followed(self, program: str) -> str:
        """A program in place of the solution, behind what the statement gives and before the tests."""
        return f"{self.problem.prelude}\n{program}\n{self.script}\n"

    def trial(self, program: str) -> Trial:
        return Trial(program, self.problem.entry_point, self.problem.tests, self.problem.prelude)


def main() -> int:
    arguments = _arguments()
    print(f"{os.cpu_count()} cores; {capabilities().summary}")
    faults = 0
    for text in arguments.sources:
        items = list(source_from_text(text).read())
        left_out = [f"{item.where}: {item.why}" for item in items if isinstance(item, Skipped)]
        references = [
            Reference(item) for item in items if isinstance(item, Problem) and not isinstance(item.tests, Stdio)
        ]
        if not references:
            raise SystemExit(f"{text} has no problem with pairs or assertions.")
        name = references[0].problem.source
        chosen = _chosen(references, arguments.limit, arguments.seed)
        solved, failures = run_references(name, chosen, left_out, arguments.cpu_s)
        faults += sum(failure.plain for failure in failures)
        if arguments.mutants:
            faults += run_mutants(name, solved, arguments.mutants, arguments.seed)
    return 1 if faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.references",
        description="Run the references of sources of problems, and mutants of them, through the executor.",
        epilog="example: python -m benchmarks.references humaneval,path=HumanEval.jsonl --limit 20 --mutants 3",
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="as for clarify-rl check source")
    parser.add_argument("--mutants", type=int, default=0, metavar="N", help="mutants of each reference (default 0)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N references of each source, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0, help="draws references and mutants (default 0)")
    parser.add_argument("--cpu-s", type=float, default=8.0, help="CPU seconds of each reference (default 8)")
    return parser.parse_args()


def _chosen(references: Sequence[Reference], limit: int | None, seed: int) -> Sequence[Reference]:
    if limit is None or limit >= len(references):
        return references
    return Random(f"{seed}/references").sample(references, limit)


def run_references(
    name: str, chosen: Sequence[Reference], left_out: Sequence[str], cpu_s: float
) -> tuple[list[tuple[Reference, Execution]], list[Judged]]:
    """The references that pass, and those that fail; prints the counts and each failure."""
    trials = [reference.trial(reference.problem.solution) for reference in chosen]
    start_s = time.perf_counter()
    executions = run(trials, Limits(cpu_s=cpu_s), f"{name}, references")
    took_s = time.perf_counter() - start_s
    pairs = list(zip(chosen, executions, strict=True))
    failed = [(reference, execution) for reference, execution in pairs if not execution.solved]
    plain = [passes(reference.followed(reference.problem.solution), int(cpu_s) + 1) for reference, _ in failed]
    failures = [
        Judged(reference.problem.id, execution, ok) for (reference, execution), ok in zip(failed, plain, strict=True)
    ]
    passed, total = (sum(getattr(e, field) for e in executions) for field in ("passed", "total"))
    print(
        f"{name}: {len(chosen) - len(failed)} of {len(chosen)} references pass, {passed} of {total} tests, "
        f"{took_s:.1f} s"
    )
    for line in (*(f"  left out: {why}" for why in left_out), *failures):
        print(line)
    return [(reference, execution) for reference, execution in pairs if execution.solved], failures


def run_mutants(name: str, solved: Sequence[tuple[Reference, Execution]], count: int, seed: int) -> int:
    """The number of false passes; prints kill rates and every disagreement."""
    quick = [reference for reference, execution in solved if execution.cpu_s < MUTANT_CPU_S / 2]
    changed: list[tuple[Reference, Mutant]] = [
        (reference, mutant)
        for reference in quick
        for mutant in mutants(reference.problem.solution, count, f"{seed}/{reference.problem.id}", reference.first_line)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        truths = threads.map(lambda pair: passes(pair[0].followed(pair[1].program), PLAIN_CPU_S), changed)
        plain = list(tqdm(truths, f"{name}, mutants, plain", len(changed), leave=False))
    trials = [reference.trial(mutant.program) for reference, mutant in changed]
    executions = run(trials, Limits(cpu_s=MUTANT_CPU_S), f"{name}, mutants, executor")
    judged = [
        Judged(f"{reference.problem.id}, {mutant.change}", execution, ok)
        for (reference, mutant), execution, ok in zip(changed, executions, plain, strict=True)
    ]
    killed, ours = plain.count(False), sum(not execution.solved for execution in executions)
    false_passes = [each for each in judged if each.false_pass]
    stricter = [each for each in judged if each.stricter]
    print(
        f"{name}: {len(judged)} mutants of {len(quick)} references; a plain interpreter kills {share(killed, judged)}, "
        f"the executor {share(ours, judged)}; {len(false_passes)} false passes, {len(stricter)} stricter"
    )
    for line in (*false_passes, *stricter):
        print(line)
    return len(false_passes)


def share(count: int, of: Sequence[object]) -> str:
    """A count with its share in percent."""
    return f"{count} ({100 * count / len(of):.1f}%)" if of else "0"


def run(trials: Sequence[Trial], limits: Limits, what: str) -> list[Execution]:
    """The outcomes, several programs at a time, with a progress bar."""
    with Executor(limits) as executor:
        outcomes: Iterable[Execution] = executor.run_all(trials)
        return list(tqdm(outcomes, what, len(trials), leave=False))


def passes(script: str, cpu_s: int) -> bool:
    """Whether a program and its tests, as one script, end well in an interpreter of their own."""
    interpreter = subprocess.Popen(
        [sys.executable, "-s", "-S", "-P", "-B", "-"],
        env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    memory = Limits().memory_bytes
    resource.prlimit(interpreter.pid, resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.prlimit(interpreter.pid, resource.RLIMIT_AS, (memory, memory))
    try:
        interpreter.communicate(script.encode(), timeout=WALL_S)
    except subprocess.TimeoutExpired:
        interpreter.kill()
        interpreter.wait()
    return interpreter.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
