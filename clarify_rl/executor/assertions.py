"""Tests as assertions: a judge runs them in a process of its own and sees only the program's plain data."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.executor.process import JUDGE, Job, JobOutcome
from clarify_rl.executor.report import Report
from clarify_rl.executor.trial import Trial
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
from clarify_rl.types import Assertions, Execution, Verdict

ENDED = "its process ended"  # as the judge says it


@dataclass(frozen=True)
class Judged:
    """What a judge wrote: a mark and a detail for each check, and how many calls the tests made (None: no end)."""

    marks: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    calls: int | None = None
    failure: str = ""
    gone: str = ""
    lost: bool = False


@dataclass(frozen=True)
class Checked:
    """A program and the checks that a judge runs on it."""

    job: Job
    total: int

    def steps(self) -> Steps:
        return self.score((yield self.job))

    def score(self, outcome: JobOutcome) -> Execution:
        """The verdict on one finished job."""
        if why := lost(outcome):
            return infrastructure(self.total, why)
        program, judge = outcome.reports
        ended = timeout(program) or timeout(judge)
        try:
            judged = _read(outcome, self.total, killed=judge.exit < 0)
        except ProtocolError as error:  # the judge is ours: what it cannot say right was too much for it
            return execution(ended or Verdict.PROTOCOL, ("missing",) * self.total, str(error), outcome.reports)
        if judged.lost or (judge.exit == -9 and not judge.why):
            return infrastructure(self.total, "the process of the program or of its tests was lost")
        marks = judged.marks + ("missing",) * (self.total - len(judged.marks))
        verdict = ended or _verdict(judged, marks)
        detail = _detail(judged, marks, program, judge)
        if verdict is Verdict.NO_CALLS:  # tests that never ran the program say nothing for it
            marks = ("missing",) * self.total
        return execution(verdict, marks, detail, outcome.reports)


def plan_assertions(trial: Trial, tests: Assertions, output_bytes: int) -> Checked:
    """The program with its checks, ready to run."""
    request = request_line({**trial.request, "setup": tests.setup, "checks": list(tests.checks)})
    total = len(tests.checks)
    return Checked(Job(JUDGE, request, output_bytes + LONGEST_LINE * (total + 1)), total)


def _read(outcome: JobOutcome, total: int, killed: bool) -> Judged:
    marks: list[str] = []
    details: list[str] = []
    for line in lines_of(outcome, killed):
        match tree_of(line):
            case {"n": int(number), "m": str(mark), "d": str(detail)} if number == len(marks) < total:
                marks.append(mark)
                details.append(detail)
            case {"calls": int(calls)}:
                return Judged(tuple(marks), tuple(details), calls)
            case {"e": [str(name), str(message)], **rest}:
                where = "the tests' setup raised " if rest else ""
                return Judged(failure=f"{where}{name}: {message}")
            case {"gone": str(why)}:
                return Judged(gone=why)
            case {"lost": True}:
                return Judged(lost=True)
            case _:
                raise ProtocolError("a line that is not a mark")
    return Judged(tuple(marks), tuple(details))


def _verdict(judged: Judged, marks: tuple[str, ...]) -> Verdict:
    details = [judged.failure, *judged.details]
    if any(detail.startswith(MEMORY_ERROR) for detail in details):
        return Verdict.MEMORY
    if judged.failure:
        return Verdict.ERROR
    if judged.gone or "missing" in marks or judged.calls is None:
        whys = {
            judged.gone,
            *(detail for detail, mark in zip(judged.details, marks, strict=False) if mark == "missing"),
        }
        return Verdict.DIED if whys <= {"", ENDED} else Verdict.PROTOCOL
    if judged.calls == 0:
        return Verdict.NO_CALLS
    if all(mark == "pass" for mark in marks):
        return Verdict.PASS
    return Verdict.ERROR if all(mark == "error" for mark in marks) else Verdict.WRONG


def _detail(judged: Judged, marks: tuple[str, ...], program: Report, judge: Report) -> str:
    """What went wrong first."""
    if timeout(judge) and not timeout(program):
        return "the tests themselves used up their time"
    if judged.failure or judged.gone:
        return judged.failure or f"the program did not load: {judged.gone}"
    for number, mark in enumerate(marks):
        if mark != "pass":
            why = judged.details[number] if number < len(judged.details) else ENDED
            return f"check {number}: {mark}{f': {why}' if why else ''}"
    return "" if judged.calls else "the tests never called the program"
