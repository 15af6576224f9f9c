"""What the three kinds of hidden tests share when raw output becomes an Execution. Runs in the caller."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol, TypeAlias

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.codec import (
    LONGEST_REQUEST,
    MAX_BYTES,
    CodecError,
    Tree,
    dumps,
    encode,
    loads,
    opaque_in,
    too_much,
)
from clarify_rl.executor.process import Job, JobOutcome
from clarify_rl.executor.report import Report
from clarify_rl.types import Execution, Verdict

SEALED = b"S"
LONGEST_DETAIL = 300
LONGEST_LINE = 4 << 10  # of what is not a result: an exception with its message
MEMORY_ERROR = "MemoryError"


Steps: TypeAlias = Generator[Job, JobOutcome, Execution]


class Plan(Protocol):
    """A program with its hidden tests, ready to run."""

    @property
    def total(self) -> int:
        """How many tests there are."""
        ...

    def steps(self) -> Steps:
        """Yields one job after the other, is sent the outcome of each, and returns the execution."""
        ...


class ProtocolError(ValueError):
    """The program's process sent something that our side of it never sends."""


def request_line(request: Tree) -> bytes:
    """A request as it is sent; an ExecutorError when it is longer than a program's process reads."""
    line = dumps(request) + b"\n"
    if len(line) > LONGEST_REQUEST:
        raise ExecutorError(
            f"A program with its tests may take {LONGEST_REQUEST >> 20} MiB, found {len(line) >> 20}. Give fewer tests."
        )
    return line


def plain_tree(value: object, what: str) -> Tree:
    """The value encoded; an ExecutorError when it is not plain data."""
    tree = encode(value)
    if why := too_much(tree):
        raise ExecutorError(f"{what} cannot be sent to a program or back: {why} (at most {MAX_BYTES >> 20} MiB).")
    opaque = opaque_in(tree)
    if opaque is not None:
        raise ExecutorError(f"{what} is not plain data: found {opaque}. Use numbers, text, lists, tuples, sets, dicts.")
    return tree


def lost(outcome: JobOutcome) -> str:
    """Why an outcome says nothing about the program; "" when it does."""
    if not outcome.reports:
        return "the fork server died"
    return "" if outcome.output.startswith(SEALED) else "the program's process could not be sealed"


def timeout(report: Report) -> Verdict | None:
    """The verdict on a process that was killed for its time."""
    whys = {"cpu": Verdict.CPU_TIMEOUT, "idle": Verdict.IDLE_TIMEOUT, "wall": Verdict.WALL_TIMEOUT}
    return whys.get(report.why)


def lines_of(outcome: JobOutcome, killed: bool) -> list[bytes]:
    """The lines after the seal. A killed process may leave half a line; nobody else may."""
    if outcome.overflow:
        raise ProtocolError("more output than the limit")
    *lines, rest = outcome.output[len(SEALED) :].split(b"\n")
    if rest and not killed:
        raise ProtocolError("half a line at the end")
    return lines


def tree_of(line: bytes) -> dict[str, Tree]:
    """One line's object."""
    try:
        tree = loads(line)
    except CodecError as error:
        raise ProtocolError(str(error)) from None
    if not isinstance(tree, dict):
        raise ProtocolError("a line that is not a result")
    return tree


def execution(verdict: Verdict, marks: Sequence[str], detail: str, reports: Sequence[Report]) -> Execution:
    """An Execution; `detail` is cut to what fits a table."""
    return Execution(
        verdict=verdict,
        passed=sum(mark == "pass" for mark in marks),
        total=len(marks),
        per_test=tuple(marks),
        cpu_s=sum(report.cpu_s for report in reports),
        wall_s=max((report.wall_s for report in reports), default=0.0),
        detail=detail.encode("utf-8", "replace").decode()[:LONGEST_DETAIL],
    )


def infrastructure(total: int, why: str) -> Execution:
    """The outcome of a program that could not be measured."""
    return execution(Verdict.INFRASTRUCTURE, ("missing",) * total, why, ())
