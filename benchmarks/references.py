"""Runs the reference solutions of public problem sets through the executor, and mutants of them.

    python -m benchmarks.references --humaneval HumanEval.jsonl --mbpp mbpp.jsonl --mutants 5

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
from pathlib import Path
from random import Random

from tqdm import tqdm

from benchmarks.mutants import Mutant, mutants
from benchmarks.problem_sets import LOADERS, ProblemSet, Reference
from clarify_rl.executor import Executor, Limits, Trial, capabilities
from clarify_rl.types import Execution

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


def main() -> int:
    arguments = _arguments()
    paths: dict[str, Path] = {name: path for name in LOADERS if (path := getattr(arguments, name))}
    if not paths:
        raise SystemExit("Give at least one file, e.g. --humaneval HumanEval.jsonl; see --help.")
    print(f"{os.cpu_count()} cores; {capabilities().summary}")
    faults = 0
    for name, path in paths.items():
        problems = LOADERS[name](path)
        chosen = _chosen(problems.references, arguments.limit, arguments.seed)
        solved, failures = run_references(problems, chosen, arguments.cpu_s)
        faults += sum(failure.plain for failure in failures)
        if arguments.mutants:
            faults += run_mutants(problems.name, solved, arguments.mutants, arguments.seed)
    return 1 if faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.references",
        description="Run the reference solutions of public problem sets, and mutants of them, through the executor.",
        epilog="example: python -m benchmarks.references --humaneval HumanEval.jsonl --limit 20 --mutants 3",
    )
    files = {
        "humaneval": "HumanEval.jsonl",
        "humaneval_comm": "HumanEvalComm.jsonl",
        "mbpp": "mbpp.jsonl",
        "leetcode": "LeetCodeDataset-*.jsonl.gz",
    }
    for name, file in files.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="FILE", help=f"a local {file}")
    parser.add_argument("--mutants", type=int, default=0, metavar="N", help="mutants of each reference (default 0)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N references of each set, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0, help="draws references and mutants (default 0)")
    parser.add_argument("--cpu-s", type=float, default=8.0, help="CPU seconds of each reference (default 8)")
    return parser.parse_args()


def _chosen(references: Sequence[Reference], limit: int | None, seed: int) -> Sequence[Reference]:
    if limit is None or limit >= len(references):
        return references
    return Random(f"{seed}/references").sample(references, limit)


def run_references(
    problems: ProblemSet, chosen: Sequence[Reference], cpu_s: float
) -> tuple[list[tuple[Reference, Execution]], list[Judged]]:
    """The references that pass, and those that fail; prints the counts and each failure."""
    trials = [Trial(each.program, each.entry_point, each.tests) for each in chosen]
    start_s = time.perf_counter()
    executions = run(trials, Limits(cpu_s=cpu_s), f"{problems.name}, references")
    took_s = time.perf_counter() - start_s
    pairs = list(zip(chosen, executions, strict=True))
    failed = [(each, execution) for each, execution in pairs if not execution.solved]
    plain = [passes(each.program, each.script, int(cpu_s) + 1) for each, _ in failed]
    failures = [Judged(each.name, execution, ok) for (each, execution), ok in zip(failed, plain, strict=True)]
    passed, total = (sum(getattr(e, field) for e in executions) for field in ("passed", "total"))
    print(
        f"{problems.name}: {len(chosen) - len(failed)} of {len(chosen)} references pass, {passed} of {total} tests, "
        f"{took_s:.1f} s"
    )
    for line in (*(f"  left out: {why}" for why in problems.left_out), *failures):
        print(line)
    return [(each, execution) for each, execution in pairs if execution.solved], failures


def run_mutants(name: str, solved: Sequence[tuple[Reference, Execution]], count: int, seed: int) -> int:
    """The number of false passes; prints kill rates and every disagreement."""
    quick = [reference for reference, execution in solved if execution.cpu_s < MUTANT_CPU_S / 2]
    changed: list[tuple[Reference, Mutant]] = [
        (reference, mutant)
        for reference in quick
        for mutant in mutants(reference.program, count, f"{seed}/{reference.name}", reference.first_line)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        truths = threads.map(lambda each: passes(each[1].program, each[0].script, PLAIN_CPU_S), changed)
        plain = list(tqdm(truths, f"{name}, mutants, plain", len(changed), leave=False))
    trials = [Trial(mutant.program, reference.entry_point, reference.tests) for reference, mutant in changed]
    executions = run(trials, Limits(cpu_s=MUTANT_CPU_S), f"{name}, mutants, executor")
    judged = [
        Judged(f"{reference.name}, {mutant.change}", execution, ok)
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


def passes(program: str, script: str, cpu_s: int) -> bool:
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
        interpreter.communicate(f"{program}\n{script}\n".encode(), timeout=WALL_S)
    except subprocess.TimeoutExpired:
        interpreter.kill()
        interpreter.wait()
    return interpreter.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
