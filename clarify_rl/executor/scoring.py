"""Turns what a program sent back into a verdict. Runs in the caller, which alone knows the expected values."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.codec import CodecError, Tree, encode, loads, opaque_in
from clarify_rl.executor.compare import canonical
from clarify_rl.executor.process import Outcome
from clarify_rl.types import Case, Execution, Raises, Tests, Verdict

SEALED = b"S"
LONGEST_DETAIL = 300


class _ProtocolError(ValueError):
    """The program's process sent something that our side of it never sends."""


@dataclass(frozen=True)
class Returned:
    """A result: its canonical form, and the type name of a part that is not plain data."""

    value: bytes
    opaque: str | None


@dataclass(frozen=True)
class Raised:
    """An exception: its type's name, with its module unless it is a builtin, and its message."""

    exception: str
    message: str

    def __str__(self) -> str:
        return f"{self.exception}: {self.message}"


@dataclass(frozen=True)
class Expected:
    """What each case must give: a value's canonical form, or the name of an exception."""

    outcomes: tuple[bytes | Raises, ...]


@dataclass(frozen=True)
class Transcript:
    """What came back, in order. `failure` is set when the program could not be loaded."""

    results: tuple[Returned | Raised, ...] = ()
    failure: Raised | None = None


def expected_outcomes(tests: Tests) -> Expected:
    """The expected values, ready to compare. Malformed tests are an ExecutorError."""
    if not tests.cases:
        raise ExecutorError("A program needs at least one hidden test; found none. Give Tests(cases=(Case(...), ...)).")
    if tests.compare not in ("exact", "printed"):
        raise ExecutorError(f"compare must be 'exact' or 'printed', found {tests.compare!r}.")
    return Expected(tuple(_expected(case, number, tests.compare) for number, case in enumerate(tests.cases)))


def _expected(case: Case, number: int, compare: str) -> bytes | Raises:
    if isinstance(case.expected, Raises):
        return case.expected
    if compare == "printed" and not isinstance(case.expected, str):
        raise ExecutorError(f"Case {number} compares printed text, but expects {case.expected!r}, not a string.")
    return canonical(plain_tree(case.expected, f"The expected value of case {number}"))


def plain_tree(value: object, what: str) -> Tree:
    """The value encoded; an ExecutorError when it is not plain data."""
    tree = encode(value)
    opaque = opaque_in(tree)
    if opaque is not None:
        raise ExecutorError(f"{what} is not plain data: found {opaque}. Use numbers, text, lists, tuples, sets, dicts.")
    return tree


def score(outcome: Outcome, expected: Expected) -> Execution:
    """The verdict on one finished job."""
    total = len(expected.outcomes)
    report = outcome.report
    if report is None or not outcome.output.startswith(SEALED):
        what = "the fork server died" if report is None else "the program's process could not be sealed"
        return _execution(outcome, Verdict.INFRASTRUCTURE, ("missing",) * total, what)
    ended = {"cpu": Verdict.CPU_TIMEOUT, "wall": Verdict.WALL_TIMEOUT}.get(report.why)
    try:
        transcript = _read(outcome, total, killed=ended is not None)
    except _ProtocolError as error:
        return _execution(outcome, ended or Verdict.PROTOCOL, ("missing",) * total, str(error))
    marks = _marks(transcript, expected)
    verdict = ended or _verdict(transcript, marks)
    return _execution(outcome, verdict, marks, _detail(transcript, marks))


def _execution(outcome: Outcome, verdict: Verdict, marks: tuple[str, ...], detail: str) -> Execution:
    return Execution(
        verdict=verdict,
        passed=marks.count("pass"),
        total=len(marks),
        per_test=marks,
        cpu_s=outcome.report.cpu_s if outcome.report else 0.0,
        wall_s=outcome.report.wall_s if outcome.report else 0.0,
        detail=detail.encode("utf-8", "replace").decode()[:LONGEST_DETAIL],
    )


def _read(outcome: Outcome, total: int, killed: bool) -> Transcript:
    """The lines after the seal. A killed process may leave half a line; nobody else may."""
    if outcome.overflow:
        raise _ProtocolError("more output than the limit")
    *lines, rest = outcome.output[len(SEALED) :].split(b"\n")
    if rest and not killed:
        raise _ProtocolError("half a line at the end")
    if len(lines) > total:
        raise _ProtocolError(f"{len(lines)} results for {total} tests")
    results = []
    for position, line in enumerate(lines):
        number, result = _parse(line)
        if number == -1 and isinstance(result, Raised) and len(lines) == 1:
            return Transcript(failure=result)
        if number != position:
            raise _ProtocolError(f"result {number} where {position} was due")
        results.append(result)
    return Transcript(tuple(results))


def _parse(line: bytes) -> tuple[int, Returned | Raised]:
    try:
        match loads(line):
            case {"n": int(number), "r": tree, **rest} if not rest:
                return number, Returned(canonical(tree), opaque_in(tree))
            case {"n": int(number), "e": [str(name), str(message)], **rest} if not rest:
                return number, Raised(name, message)
    except CodecError as error:
        raise _ProtocolError(str(error)) from None
    raise _ProtocolError("a line that is not a result")


def _marks(transcript: Transcript, expected: Expected) -> tuple[str, ...]:
    marks = [_mark(result, due) for result, due in zip(transcript.results, expected.outcomes, strict=False)]
    return tuple(marks + ["missing"] * (len(expected.outcomes) - len(marks)))


def _mark(result: Returned | Raised, due: bytes | Raises) -> str:
    if isinstance(result, Raised):
        return "pass" if isinstance(due, Raises) and result.exception == due.exception else "error"
    return "pass" if result.opaque is None and result.value == due else "wrong"


def _verdict(transcript: Transcript, marks: tuple[str, ...]) -> Verdict:
    failed = [result for result, mark in zip(transcript.results, marks, strict=False) if mark != "pass"]
    raised = [result for result in (transcript.failure, *failed) if isinstance(result, Raised)]
    if all(mark == "pass" for mark in marks):
        return Verdict.PASS
    if any(result.exception == "MemoryError" for result in raised):
        return Verdict.MEMORY
    if transcript.failure:
        return Verdict.ERROR
    if "missing" in marks:
        return Verdict.DIED
    if all(mark == "error" for mark in marks):
        return Verdict.ERROR
    if all(isinstance(result, Returned) and result.opaque is not None for result in failed):
        return Verdict.UNSUPPORTED_TYPE
    return Verdict.WRONG


def _detail(transcript: Transcript, marks: tuple[str, ...]) -> str:
    """What went wrong first. It never shows an expected value."""
    if transcript.failure:
        return str(transcript.failure)
    for number, (result, mark) in enumerate(zip(transcript.results, marks, strict=False)):
        if mark == "pass":
            continue
        if isinstance(result, Raised):
            return f"case {number}: raised {result}"
        got = f"a value that is not plain data ({result.opaque})" if result.opaque else result.value[:200].decode()
        return f"case {number}: returned {got}"
    return f"case {marks.index('missing')}: no result" if "missing" in marks else ""
