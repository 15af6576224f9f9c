"""Tests of programs that read and print: each case is a process of its own, and only its output counts."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.compare import ComparisonError, Rule
from clarify_rl.executor.limits import Limits
from clarify_rl.executor.process import PROGRAM, Job, JobOutcome
from clarify_rl.executor.report import Report
from clarify_rl.executor.verdicts import (
    LONGEST_LINE,
    MEMORY_ERROR,
    ProtocolError,
    Steps,
    execution,
    infrastructure,
    lines_of,
    lost,
    request_line,
    timeout,
    tree_of,
)
from clarify_rl.types import Stdio, Verdict

TIMEOUTS = (Verdict.WALL_TIMEOUT, Verdict.CPU_TIMEOUT, Verdict.IDLE_TIMEOUT)


@dataclass(frozen=True)
class Printed:
    """How one case went: its mark, the verdict if that ends the program's tests, and what to tell."""

    mark: str
    verdict: Verdict | None = None
    detail: str = ""


@dataclass(frozen=True)
class Runs:
    """A program and the cases that it runs on, one after the other, within one limit of processor time."""

    jobs: tuple[Job, ...]
    tests: Stdio
    rule: Rule
    limits: Limits

    @property
    def total(self) -> int:
        return len(self.jobs)

    def steps(self) -> Steps:
        reports: list[Report] = []
        printed: list[Printed] = []
        for number, (job, case) in enumerate(zip(self.jobs, self.tests.cases, strict=True)):
            outcome = yield job
            if why := lost(outcome):
                return infrastructure(len(self.tests.cases), why)
            reports += outcome.reports
            try:
                printed.append(self.score(outcome, case.stdout, number))
            except ComparisonError as error:
                return infrastructure(self.total, str(error))
            if sum(report.cpu_s for report in reports) >= self.limits.cpu_s:
                printed[-1] = Printed(printed[-1].mark, Verdict.CPU_TIMEOUT, printed[-1].detail)
            elif sum(report.wall_s for report in reports) >= self.limits.wall_s:
                printed[-1] = Printed(printed[-1].mark, Verdict.WALL_TIMEOUT, printed[-1].detail)
            if printed[-1].verdict in TIMEOUTS:
                break
        marks = [case.mark for case in printed] + ["missing"] * (len(self.tests.cases) - len(printed))
        detail = next((case.detail for case in printed if case.detail), "")
        return execution(_verdict(printed, marks), marks, detail, reports)

    def score(self, outcome: JobOutcome, expected: str, number: int) -> Printed:
        """How one finished case went."""
        report = outcome.reports[0]
        ended = timeout(report)
        try:
            lines = [tree_of(line) for line in lines_of(outcome, killed=report.exit != 0)]
        except ProtocolError as error:
            return Printed("error", ended or Verdict.PROTOCOL, f"case {number}: {error}")
        match lines:
            case _ if ended:
                return Printed("missing", ended, f"case {number}: did not end in time")
            case [{"e": [str(name), str(message)]}]:
                memory = Verdict.MEMORY if name == MEMORY_ERROR else Verdict.ERROR
                return Printed("error", memory, f"case {number}: raised {name}: {message}")
            case [] | [{"x": 0}] if report.exit == 0:
                text = outcome.printed.decode("utf-8", "replace")
                right = self.rule(text, expected)
                return Printed("pass") if right else Printed("wrong", Verdict.WRONG, f"case {number}: printed {text!r}")
            case [] | [{"x": _}]:
                return Printed("error", Verdict.ERROR, f"case {number}: ended with exit code {report.exit or 1}")
        return Printed("error", Verdict.PROTOCOL, f"case {number}: a line that is not an exit code")


def plan_stdio(program: str, tests: Stdio, rule: Rule, limits: Limits) -> Runs:
    """The program with its cases, ready to run. Input that is no text is an ExecutorError."""
    request = request_line({"mode": "stdio", "program": program})
    most_bytes = limits.output_bytes + LONGEST_LINE
    inputs = [_encoded(case.stdin, number) for number, case in enumerate(tests.cases)]
    return Runs(tuple(Job(PROGRAM, request, most_bytes, stdin) for stdin in inputs), tests, rule, limits)


def _encoded(stdin: str, number: int) -> bytes:
    try:
        return stdin.encode()
    except UnicodeEncodeError as error:
        raise ExecutorError(f"The input of case {number} is not text: {error}.") from None


def _verdict(printed: list[Printed], marks: list[str]) -> Verdict:
    verdicts = [case.verdict for case in printed if case.verdict]
    for decisive in (*TIMEOUTS, Verdict.MEMORY, Verdict.PROTOCOL):
        if decisive in verdicts:
            return decisive
    if not verdicts and all(mark == "pass" for mark in marks):
        return Verdict.PASS
    return Verdict.ERROR if set(verdicts) == {Verdict.ERROR} else Verdict.WRONG
