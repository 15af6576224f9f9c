"""Whatever a process sends, scoring neither raises nor passes it unless it is what a right program sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarify_rl.executor.assertions import plan_assertions
from clarify_rl.executor.codec import Tree, dumps, encode
from clarify_rl.executor.compare import rule_of, stdio_rule_of
from clarify_rl.executor.functions import load_function
from clarify_rl.executor.limits import Limits
from clarify_rl.executor.pairs import Pairs, plan_pairs
from clarify_rl.executor.process import JobOutcome
from clarify_rl.executor.report import Report
from clarify_rl.executor.stdio import plan_stdio
from clarify_rl.executor.trial import Trial
from clarify_rl.types import Case, Execution, Raises, Stdio, StdioCase, Tests, Verdict
from tests.executor_cases import JSON_TREES, checks, quickly

MARKS = {"pass", "wrong", "error", "missing"}
EXPECTED = (2.5, "x", {"k": (1, 2**70)}, Raises("KeyError"), [1, [2]])
PAIRS = Tests(tuple(Case((n,), value) for n, value in enumerate(EXPECTED)))
CHECKS = checks("assert candidate(1) == 2", "assert candidate(2) == 4", "assert candidate(3) == 6")
RIGHT_PAIRS: tuple[Tree, ...] = (
    {"n": 0, "r": encode(EXPECTED[0])},
    {"n": 1, "r": encode(EXPECTED[1])},
    {"n": 2, "r": encode(EXPECTED[2])},
    {"n": 3, "e": ["KeyError", "x"]},
    {"n": 4, "r": [1, [2]]},
)
RIGHT_CHECKS: tuple[Tree, ...] = (
    {"n": 0, "m": "pass", "d": ""},
    {"n": 1, "m": "pass", "d": ""},
    {"n": 2, "m": "pass", "d": ""},
    {"calls": 3},
)

REPORTS = st.builds(
    Report,
    exit=st.sampled_from([0, 0, 0, 1, 70, -9, -11]),
    cpu_s=st.floats(0, 3),
    wall_s=st.floats(0, 70),
    why=st.sampled_from(["", "", "", "done", "cpu", "wall", "idle", "cancelled"]),
)
CLEAN = Report(0, 0.1, 0.1, "")


def lines(right: tuple[Tree, ...]) -> st.SearchStrategy[bytes]:
    """Lines in which some are right and some are anything, each in its place or not."""
    keys = st.sampled_from(["n", "r", "e", "m", "d", "calls", "gone", "lost", "setup", "x", "zz"])
    values = st.integers(-2, 5) | st.booleans() | JSON_TREES | st.sampled_from(["pass", "MemoryError", "KeyError"])
    some = (
        st.sampled_from(right) | st.dictionaries(keys, values | st.lists(values, max_size=3), max_size=4) | JSON_TREES
    )
    some_lines = st.lists(some.map(dumps) | st.binary(max_size=12), max_size=len(right) + 2)
    exact = st.just([dumps(tree) for tree in right])
    return (exact | some_lines).map(lambda made: b"".join(line + b"\n" for line in made))


def anything(right: tuple[Tree, ...]) -> st.SearchStrategy[bytes]:
    """What a process may have sent: well begun or not, whole or cut off, or with a little damage."""
    begun = st.sampled_from([b"S", b"S", b"S", b"", b"SS", b"\n"])
    text = st.builds(bytes.__add__, begun, lines(right))
    damaged = st.builds(
        lambda text, n, more: text[: n % (len(text) + 1)] + more, text, st.integers(0), st.binary(max_size=9)
    )
    return text | damaged | st.binary(max_size=40)


def outcomes(
    right: tuple[Tree, ...], processes: int, printed: st.SearchStrategy[bytes]
) -> st.SearchStrategy[JobOutcome]:
    reports = st.lists(REPORTS, min_size=processes, max_size=processes).map(tuple)
    fine = st.just((CLEAN,) * processes)
    return st.builds(JobOutcome, anything(right), printed, st.booleans(), fine | reports | st.just(()))


TRIAL = Trial("", "f", PAIRS)


def pairs(compare: str) -> Pairs:
    return plan_pairs(TRIAL, Tests(PAIRS.cases, compare), rule_of(compare, load_function), 1 << 20)


def check(execution: Execution, total: int) -> None:
    """What holds of every outcome."""
    assert (execution.total, len(execution.per_test)) == (total, total)
    assert set(execution.per_test) <= MARKS
    assert execution.passed == execution.per_test.count("pass")
    assert execution.solved <= (execution.passed == total)
    assert len(execution.detail) <= 300


def sent(right: tuple[Tree, ...]) -> bytes:
    """Exactly what a right program's process sends."""
    return b"S" + b"".join(dumps(tree) + b"\n" for tree in right)


@pytest.mark.parametrize("compare", ["exact", "close", "unordered", "operator:eq"])
@quickly
@given(outcome=outcomes(RIGHT_PAIRS, 1, st.just(b"")))
def test_pairs_pass_only_with_the_right_lines(compare: str, outcome: JobOutcome) -> None:
    execution = pairs(compare).score(outcome)
    check(execution, len(EXPECTED))
    if execution.solved:
        assert outcome.output.startswith(sent(RIGHT_PAIRS[:3]))
        assert outcome.output.count(b"\n") == len(RIGHT_PAIRS)
        assert not outcome.overflow and outcome.reports[0].why not in ("cpu", "wall", "idle")
    assert execution.measured or not outcome.reports or not outcome.output.startswith(b"S") or (
        outcome.reports[0].why == "wall"
    )  # fmt: skip


@quickly
@given(outcome=outcomes(RIGHT_CHECKS, 2, st.just(b"")))
def test_assertions_pass_only_with_the_right_lines(outcome: JobOutcome) -> None:
    execution = plan_assertions(TRIAL, CHECKS, 1 << 20).score(outcome)
    check(execution, 3)
    if execution.solved:
        marks = [line for line in outcome.output[1:].splitlines() if b'"m":"pass"' in line]
        assert len(marks) == 3 and b'{"calls":' in outcome.output
        assert not outcome.overflow


@pytest.mark.parametrize("compare", ["lines", "exact", "close", "operator:eq"])
@quickly
@given(outcome=outcomes(({"n": 0, "x": 0},), 1, st.just(b"right\n") | st.binary(max_size=9)))
def test_printed_output_passes_only_when_it_is_right(compare: str, outcome: JobOutcome) -> None:
    tests = Stdio((StdioCase("", "right\n"),), compare)
    runs = plan_stdio("", tests, stdio_rule_of(compare, load_function), Limits())
    steps = runs.steps()
    next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send(outcome)
    execution = stop.value.value
    check(execution, 1)
    if execution.solved:
        assert outcome.printed.strip() == b"right"
        assert outcome.reports[0].exit == 0 and outcome.reports[0].why not in ("cpu", "wall", "idle")


# The fuzz would prove nothing if it never met a right outcome.


@pytest.mark.parametrize("why", ["", "cancelled"])
def test_the_right_lines_do_pass(why: str) -> None:
    report = Report(0, 0.1, 0.1, why)
    assert pairs("exact").score(JobOutcome(sent(RIGHT_PAIRS), reports=(report,))).solved
    assert pairs("close").score(JobOutcome(sent(RIGHT_PAIRS), reports=(report,))).solved
    assert plan_assertions(TRIAL, CHECKS, 9).score(JobOutcome(sent(RIGHT_CHECKS), reports=(report, CLEAN))).solved


@pytest.mark.parametrize(
    ("why", "verdict"),
    [("cpu", Verdict.CPU_TIMEOUT), ("idle", Verdict.IDLE_TIMEOUT), ("wall", Verdict.WALL_TIMEOUT)],
)
def test_right_lines_of_a_process_that_was_killed_for_its_time_do_not_pass(why: str, verdict: Verdict) -> None:
    late = Report(-9, 3.0, 3.0, why)
    assert pairs("exact").score(JobOutcome(sent(RIGHT_PAIRS), reports=(late,))).verdict is verdict
    for reports in ((late, CLEAN), (CLEAN, late)):
        scored = plan_assertions(TRIAL, CHECKS, 9).score(JobOutcome(sent(RIGHT_CHECKS), reports=reports))
        assert scored.verdict is verdict


def test_an_outcome_without_a_report_or_a_seal_is_no_measurement() -> None:
    for outcome in (JobOutcome(sent(RIGHT_PAIRS)), JobOutcome(sent(RIGHT_PAIRS)[1:], reports=(CLEAN,))):
        assert pairs("exact").score(outcome).verdict is Verdict.INFRASTRUCTURE
    for outcome in (JobOutcome(sent(RIGHT_CHECKS)), JobOutcome(sent(RIGHT_CHECKS)[1:], reports=(CLEAN, CLEAN))):
        assert plan_assertions(TRIAL, CHECKS, 9).score(outcome).verdict is Verdict.INFRASTRUCTURE
