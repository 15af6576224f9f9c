"""Runs a corpus of hostile and honest programs through the real executor and says what went wrong, if anything.

What it leaves out: programs that read and print. They run in the same sealed process as those that are tested by pairs.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from clarify_rl.executor.capabilities import Capabilities
from clarify_rl.executor.client import Executor
from clarify_rl.executor.corpus import ENTRY_POINT, Kind, Program
from clarify_rl.executor.limits import Limits
from clarify_rl.executor.traces import Witness
from clarify_rl.executor.victim import Victim, victims_of
from clarify_rl.types import Execution, Verdict

TRIES = 2  # the executor runs a program again where the machine may have decided
GRACE_S = 15.0


class Fault(StrEnum):
    """What is wrong with how a program fared."""

    FALSE_PASS = "false pass"
    ESCAPED = "escaped"
    FAILED = "benign program fails"
    TOO_LATE = "did not end in time"
    INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True)
class Tried:
    """One program on one kind of hidden tests."""

    tests: str
    execution: Execution
    seconds: float


@dataclass(frozen=True)
class Finding:
    """How one program fared on each kind of tests. `fault` is the first thing that was wrong, and `why` tells more."""

    program: Program
    runs: tuple[Tried, ...] = ()
    fault: Fault | None = None
    why: str = ""

    @property
    def seconds(self) -> float:
        return sum(run.seconds for run in self.runs)

    @property
    def unmeasured(self) -> bool:
        """Whether some run says nothing about the program, as one that only slept where the executor sees no sleep."""
        return not all(run.execution.measured for run in self.runs)


@dataclass(frozen=True)
class Findings:
    """What a corpus showed about an executor. `leftovers` is all that was left behind or harmed, in plain words."""

    capabilities: Capabilities
    programs: tuple[Finding, ...]
    leftovers: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.programs if finding.fault)

    @property
    def holds(self) -> bool:
        """Whether nothing at all was wrong."""
        return not self.faults and not self.leftovers


def check_limits(cpu_s: float) -> Limits:
    """Limits under which every honest program of the bundled corpus has time enough, and a check takes a minute."""
    return Limits(cpu_s=cpu_s, wall_s=max(5.0, 5 * cpu_s), idle_s=1.0)


def check(
    programs: Sequence[Program],
    limits: Limits,
    *,
    servers: int = 2,
    without: Sequence[str] = (),
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Findings:
    """Runs every program, `servers` at a time. ExecutorError where the executor refuses to work."""
    with victims_of(programs) as victims:
        witness = Witness([program.text for program in programs])
        executor = Executor(limits, servers=servers, without=without)
        try:
            machine = executor.capabilities
            findings = []
            for finding in _run_all(executor, programs, victims[0], witness):
                findings.append(finding)
                on_finding(finding)
        finally:
            executor.close()
            _kill(executor.server_pids)
        leftovers = [*witness.left_behind(), *(harm for victim in victims for harm in victim.harm())]
    order = {program.name: number for number, program in enumerate(programs)}
    findings.sort(key=lambda finding: order[finding.program.name])
    return Findings(machine, tuple(findings), tuple(leftovers))


def _run_all(executor: Executor, programs: Sequence[Program], victim: Victim, witness: Witness) -> Iterator[Finding]:
    """The findings as they come. When no program ends any more, those that run are found to be late."""
    longest_s = allowed_s(executor.limits) * max(len(program.tests) for program in programs)
    threads = ThreadPoolExecutor(executor.most_servers)
    try:
        pending = {threads.submit(_run, executor, program, victim, witness): program for program in programs}
        while pending:
            done, _ = wait(pending, longest_s, FIRST_COMPLETED)
            if not done:
                late = [program for future, program in pending.items() if future.running()]
                yield from (Finding(program, fault=Fault.TOO_LATE, why="it never came back") for program in late)
                return
            for future in done:
                del pending[future]
                yield future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _run(executor: Executor, program: Program, victim: Victim, witness: Witness) -> Finding:
    """One program on all its tests, one after the other: what the first run leaves, the next one may find."""
    text = program.aimed_at(victim.folder, victim.port)
    runs = []
    for name, tests in program.tests.items():
        started_s = time.monotonic()
        execution = executor.run(text, ENTRY_POINT, tests)
        runs.append(Tried(name, execution, time.monotonic() - started_s))
    witness.look()
    return judged(program, tuple(runs), allowed_s(executor.limits))


def allowed_s(limits: Limits) -> float:
    """The seconds by the clock after which a run must have ended, come what may."""
    return TRIES * (limits.wall_s + GRACE_S)


def judged(program: Program, runs: tuple[Tried, ...], most_s: float) -> Finding:
    """The finding on a program that has run."""
    for run in runs:
        fault = _fault(program.kind, run, most_s)
        if fault:
            execution = run.execution
            passed = f"{execution.passed} of {execution.total} tests passed, {run.seconds:.1f} s"
            detail = f": {execution.detail}" if execution.detail else ""
            return Finding(program, runs, fault, f"{run.tests}: {execution.verdict}, {passed}{detail}")
    return Finding(program, runs)


def _fault(kind: Kind, run: Tried, most_s: float) -> Fault | None:
    execution = run.execution
    if run.seconds > most_s:
        return Fault.TOO_LATE
    if execution.verdict is Verdict.INFRASTRUCTURE:
        return Fault.INFRASTRUCTURE
    if kind is Kind.HONEST:
        return None if execution.solved else Fault.FAILED
    # Rewards count passed tests, so that all of them must not pass whatever the verdict says.
    if execution.solved or execution.passed == execution.total:
        return Fault.ESCAPED if kind is Kind.PROBE else Fault.FALSE_PASS
    return None


def _kill(pids: Sequence[int]) -> None:
    """Ends fork servers that did not end when they were told to, and with them whoever waits for them."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
