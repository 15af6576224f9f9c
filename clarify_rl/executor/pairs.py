"""Tests as pairs: arguments go to the program, results come back, and the expected values never leave the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.codec import MAX_BYTES, CodecError, Tree, check_tree, decode, dumps, opaque_in, too_much
from clarify_rl.executor.compare import ComparisonError, Rule, exact
from clarify_rl.executor.process import PROGRAM, Job, JobOutcome
from clarify_rl.executor.shown import as_python
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
    plain_tree,
    request_line,
    timeout,
    tree_of,
)
from clarify_rl.types import Case, Execution, Raises, Tests, Verdict

LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Returned:
    """A result, and the type name of a part that is not plain data. `size` in bytes is set for one too long to read."""

    value: Tree
    opaque: str | None
    size: int = 0


@dataclass(frozen=True)
class Raised:
    """An exception: its type's name, with its module unless it is a builtin, and its message."""

    exception: str
    message: str

    def __str__(self) -> str:
        return f"{self.exception}: {self.message}"


@dataclass(frozen=True)
class Transcript:
    """What came back, in order. `failure` is set when the program could not be loaded."""

    results: tuple[Returned | Raised, ...] = ()
    failure: Raised | None = None


@dataclass(frozen=True)
class Pairs:
    """A program and its pairs, each with the size in bytes of the longest line that can be right.

    `expected` holds a tree, or the name of an exception, for each case.
    """

    job: Job
    expected: tuple[Tree | Raises, ...]
    rule: Rule
    longest: tuple[int, ...]

    @property
    def total(self) -> int:
        return len(self.expected)

    def steps(self) -> Steps:
        return self.score((yield self.job))

    def score(self, outcome: JobOutcome) -> Execution:
        """The verdict on one finished job."""
        total = len(self.expected)
        if why := lost(outcome):
            return infrastructure(total, why)
        ended = timeout(outcome.reports[0])
        try:
            transcript = self.read(outcome, killed=ended is not None)
            marks = self.marks(transcript)
        except (ProtocolError, CodecError) as error:
            verdict = ended or Verdict.PROTOCOL
            return execution(verdict, ("missing",) * total, str(error), outcome.reports)
        except ComparisonError as error:
            return infrastructure(total, str(error))
        verdict = ended or _verdict(transcript, marks)
        return execution(verdict, marks, _detail(transcript, marks), outcome.reports)

    def read(self, outcome: JobOutcome, killed: bool) -> Transcript:
        lines = lines_of(outcome, killed)
        if len(lines) > len(self.expected):
            raise ProtocolError(f"{len(lines)} results for {len(self.expected)} tests")
        results: list[Returned | Raised] = []
        for position, (line, longest) in enumerate(zip(lines, self.longest, strict=False)):
            if len(line) > longest:  # cannot be equal, and reading it would cost the caller time
                results.append(Returned(None, None, len(line)))
                continue
            number, result = _parse(tree_of(line))
            if number == -1 and isinstance(result, Raised) and len(lines) == 1:
                return Transcript(failure=result)
            if number != position:
                raise ProtocolError(f"result {number} where {position} was due")
            results.append(result)
        return Transcript(tuple(results))

    def marks(self, transcript: Transcript) -> tuple[str, ...]:
        marks = [self.mark(result, due) for result, due in zip(transcript.results, self.expected, strict=False)]
        return tuple(marks + ["missing"] * (len(self.expected) - len(marks)))

    def mark(self, result: Returned | Raised, due: Tree | Raises) -> str:
        if isinstance(result, Raised):
            return "pass" if isinstance(due, Raises) and result.exception == due.exception else "error"
        if isinstance(due, Raises) or result.opaque is not None or result.size:
            return "wrong"
        return "pass" if self.rule(result.value, due) else "wrong"


def plan_pairs(trial: Trial, tests: Tests, rule: Rule, output_bytes: int) -> Pairs:
    """The program with its pairs, ready to run. Malformed tests are an ExecutorError."""
    printed = tests.compare == "printed"
    request = request_line(
        {
            "mode": "pairs",
            **trial.request,
            "printed": printed,
            "inputs": [plain_tree(case.args, f"Input {i}") for i, case in enumerate(tests.cases)],
        }
    )
    expected = tuple(_expected(case, number, printed) for number, case in enumerate(tests.cases))
    most_bytes = output_bytes + LONGEST_LINE * (len(expected) + 1)
    longest = tuple(_longest(due, rule) for due in expected)
    return Pairs(Job(PROGRAM, request, most_bytes), expected, rule, longest)


@dataclass(frozen=True)
class Output:
    """What a program gave for one input: a `value`, or the name of the exception that it `raised`.

    `why` says why there is neither: it did not come back, or is no plain data.
    """

    value: object = None
    raised: str = ""
    why: str = ""


@dataclass(frozen=True)
class Outputs(Pairs):
    """A program whose results are wanted, not judged. Whatever comes back is right; `outputs` tells what it was."""

    kept: list[Transcript] = field(default_factory=list)

    def marks(self, transcript: Transcript) -> tuple[str, ...]:
        self.kept[:] = [transcript]
        return super().marks(transcript)

    def outputs(self, execution: Execution) -> tuple[Output, ...]:
        """One for each input, after the program has run."""
        transcript = self.kept[0] if self.kept else Transcript()
        why = execution.detail or f"no result ({execution.verdict})"
        came = [_output(result) for result in transcript.results]
        return tuple(came + [Output(why=why)] * (self.total - len(came)))


def _output(result: Returned | Raised) -> Output:
    if isinstance(result, Raised):
        return Output(raised=result.exception)
    if result.opaque is not None or result.size:
        return Output(why=f"no plain data ({result.opaque})" if result.opaque else f"{result.size:,} bytes")
    return Output(decode(result.value))


def plan_outputs(trial: Trial, inputs: Sequence[tuple[object, ...]], output_bytes: int) -> Outputs:
    """The program with its inputs, ready to run."""
    pairs = plan_pairs(trial, Tests(tuple(Case(args, None) for args in inputs)), _anything, output_bytes)
    return Outputs(pairs.job, pairs.expected, pairs.rule, pairs.longest)


def _anything(_result: Tree, _expected: Tree) -> bool:
    return True


def _longest(due: Tree | Raises, rule: Rule) -> int:
    """Equal values are equally long, but for the sign of zeros; other rules may allow anything."""
    if rule is exact and not isinstance(due, Raises):
        return 2 * len(dumps(due)) + LONGEST_LINE
    return MAX_BYTES + LONGEST_LINE


def _expected(case: Case, number: int, printed: bool) -> Tree | Raises:
    if isinstance(case.expected, Raises):
        return case.expected
    if printed and not isinstance(case.expected, str):
        raise ExecutorError(f"Case {number} compares printed text, but expects {case.expected!r}, not a string.")
    return plain_tree(case.expected, f"The expected value of case {number}")


def _parse(line: dict[str, Tree]) -> tuple[int, Returned | Raised]:
    match line:
        case {"n": int(number), "r": tree, **rest} if not rest:
            check_tree(tree)
            return number, Returned(tree, opaque_in(tree))
        case {"n": int(number), "e": [str(name), str(message)], **rest} if not rest:
            return number, Raised(name, message)
    raise ProtocolError("a line that is not a result")


def _verdict(transcript: Transcript, marks: tuple[str, ...]) -> Verdict:
    failed = [result for result, mark in zip(transcript.results, marks, strict=False) if mark != "pass"]
    raised = [result for result in (transcript.failure, *failed) if isinstance(result, Raised)]
    if all(mark == "pass" for mark in marks):
        return Verdict.PASS
    if any(result.exception == MEMORY_ERROR for result in raised):
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
        if result.size:
            return f"case {number}: returned a value of {result.size:,} bytes"
        if result.opaque:
            what = "" if too_much(result.value) == result.opaque else " that is not plain data"
            return f"case {number}: returned a value{what} ({result.opaque})"
        return f"case {number}: returned {as_python(result.value, LONGEST_SHOWN)}"
    return f"case {marks.index('missing')}: no result" if "missing" in marks else ""
