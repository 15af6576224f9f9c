"""Many programs in one call: run_all keeps the order, takes what it needs, and goes on when servers or callers stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice

import pytest

from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Executor, Trial
from clarify_rl.executor.process import ServerProcess
from clarify_rl.types import Execution, Stdio, StdioCase, Tests, Verdict
from tests.executor_cases import (
    DOUBLE,
    GOOD,
    LIMITS,
    SLEEPER,
    SLOW,
    SPAN,
    checks,
    in_thread,
    left_behind,
    most_at_once,
    on_linux,
    one,
    wait_until_gone,
)

pytestmark = on_linux

EVERY_KIND = (
    Trial(GOOD, "f", DOUBLE),
    Trial(GOOD, "f", checks("assert candidate(1) == 2", "assert f(2) == 4")),
    Trial("print(2 * int(input()))", "", Stdio((StdioCase("1", "2"), StdioCase("2", "4")))),
)
MEGABYTE = Trial("def f(): return 'x' * (1 << 20)", "f", one("x" * (1 << 20)))


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=2) as executor:
        yield executor


def numbered(k: int) -> Trial:
    """A trial that only a program of its own number passes."""
    return Trial(f"def f():\n    return {k}", "f", one(k))


# Order and number.


def test_run_all_keeps_the_order(executor: Executor) -> None:
    def trial(k: int) -> Trial:
        program = f"import time\ndef f():\n    time.sleep({0.05 if k % 3 == 0 else 0})\n    return {k}"
        return Trial(program, "f", one(k if k % 2 else -1))

    assert [each.solved for each in executor.run_all(map(trial, range(20)))] == [False, True] * 10


def test_run_all_of_nothing_is_nothing(executor: Executor) -> None:
    assert list(executor.run_all([])) == []


def test_a_run_that_is_not_waited_for_stops(executor: Executor) -> None:
    trials = [Trial(SLOW, "f", one(2, 1))] * 20
    started_s = time.monotonic()
    next(iter(executor.run_all(trials)))
    executor.close()
    assert time.monotonic() - started_s < 3


def test_run_all_takes_trials_as_it_needs_them(executor: Executor) -> None:
    taken = count()

    def trials() -> Iterator[Trial]:
        while next(taken) < 500:
            yield Trial(GOOD, "f", DOUBLE)

    list(islice(executor.run_all(trials()), 2))
    assert next(taken) < 50


def test_a_malformed_trial_raises_where_it_stands(executor: Executor) -> None:
    outcomes = executor.run_all([Trial(GOOD, "f", DOUBLE), Trial(GOOD, "f", Tests(()))])
    assert next(outcomes).solved
    with pytest.raises(ExecutorError, match="at least one hidden test"):
        next(outcomes)


@pytest.mark.parametrize("servers", [1, 3])
def test_as_many_programs_run_at_once_as_there_are_servers(servers: int) -> None:
    with Executor(LIMITS, servers=servers) as executor:
        assert most_at_once(list(executor.run_all([Trial(SPAN, "f", one(0))] * 12))) == servers
        assert len(executor.server_pids) == servers


def test_every_kind_of_tests_may_be_mixed(executor: Executor) -> None:
    assert all(each.solved for each in executor.run_all(EVERY_KIND * 10))


def test_large_outputs_come_side_by_side(executor: Executor) -> None:
    assert all(each.solved for each in executor.run_all([MEGABYTE] * 6))


def test_a_program_that_is_slow_does_not_hold_up_the_others(executor: Executor) -> None:
    slow = Trial(SLOW.replace("0.2", "0.6"), "f", one(2, 1))
    started_s = time.monotonic()
    first, *rest = executor.run_all([slow, *map(numbered, range(4))])
    assert first.solved and all(each.solved for each in rest)
    assert time.monotonic() - started_s < 2


def test_while_one_program_is_slow_many_others_are_done(executor: Executor) -> None:
    taken = count()
    slow = Trial(SLOW.replace("0.2", "1.0"), "f", one(2, 1))

    def trials() -> Iterator[Trial]:
        yield slow
        while next(taken) < 500:
            yield Trial(GOOD, "f", DOUBLE)

    next(executor.run_all(trials()))
    assert next(taken) > 50


def test_a_trial_that_fails_in_any_way_harms_no_other(executor: Executor) -> None:
    endings = (
        "import os\nos._exit(0)",
        "import os\nos.close(3)",
        "import os\nos.kill(os.getpid(), 9)",
        "def f(",
        "1 / 0",
    )
    bad = [Trial(ending, "f", kind.tests) for ending in endings for kind in EVERY_KIND]
    trials = [trial for each in bad for trial in (each, EVERY_KIND[0])]
    assert [each.solved for each in executor.run_all(trials)] == [False, True] * len(bad)


# Beside other callers.


def test_more_programs_may_be_run_while_the_outcomes_come(executor: Executor) -> None:
    slow = Trial(SLOW, "f", one(2, 1))
    found: list[Execution] = []

    def run() -> None:
        for each in executor.run_all([numbered(0), slow, slow, numbered(1)]):
            found.extend((each, executor.run(GOOD, "f", DOUBLE), *executor.run_all([numbered(2)] * 3)))

    job = in_thread(run)
    job.join(15)
    assert len(found) == 20 and all(each.solved for each in found)


def test_two_may_be_read_in_turn(executor: Executor) -> None:
    slow = Trial(SLOW, "f", one(2, 1))
    found: list[Execution] = []

    def run() -> None:
        one_way, other_way = executor.run_all([slow, numbered(1)]), executor.run_all([numbered(1), slow])
        for pair in zip(one_way, other_way, strict=True):
            found.extend(pair)

    job = in_thread(run)
    job.join(15)
    assert len(found) == 4 and all(each.solved for each in found)


@pytest.mark.xfail(strict=True, reason="limit: while the caller works on an outcome, nobody reads what programs write")
def test_a_caller_that_takes_its_time_does_not_hold_programs_up(executor: Executor) -> None:
    late = Trial("import time\ndef f():\n    time.sleep(0.1)\n    return 'x' * (1 << 20)", "f", one("x" * (1 << 20)))
    outcomes = executor.run_all([numbered(0), late])
    assert next(outcomes).solved
    time.sleep(1.0)
    assert next(outcomes).wall_s < 0.8


# When something stops.


def test_servers_that_are_killed_harm_no_outcome(executor: Executor) -> None:
    for number, each in enumerate(executor.run_all([Trial(SLOW, "f", one(2, 1))] * 8)):
        assert each.solved
        if number in (1, 3):
            os.kill(executor.server_pids[0], signal.SIGKILL)
    assert not left_behind(executor)


def test_a_trial_that_no_server_can_run_keeps_its_number_of_tests(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    executor.run(GOOD, "f", DOUBLE)
    for pid in executor.server_pids:
        os.kill(pid, signal.SIGKILL)
    monkeypatch.setattr(ServerProcess, "__init__", fails)
    executions = list(executor.run_all([Trial(GOOD, "f", DOUBLE)] * 3))
    assert [each.verdict for each in executions] == [Verdict.INFRASTRUCTURE] * 3
    assert [each.per_test for each in executions] == [("missing",) * 3] * 3


def test_outcomes_that_nobody_takes_free_the_servers(executor: Executor) -> None:
    outcomes = executor.run_all([numbered(0), *[Trial(SLEEPER, "f", DOUBLE)] * 4])
    assert next(outcomes).solved
    outcomes.close()  # type: ignore[attr-defined]  # a generator
    started_s = time.monotonic()
    assert all(executor.run(GOOD, "f", DOUBLE).solved for _ in range(4))
    assert time.monotonic() - started_s < 3
    assert not left_behind(executor)


def test_a_caller_that_is_interrupted_can_go_on(executor: Executor) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        list(executor.run_all([Trial(SLEEPER, "f", DOUBLE)] * 3))

    list(executor.run_all([numbered(0)] * 4))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert all(each.solved for each in executor.run_all(map(numbered, range(6))))
    assert not left_behind(executor)


def test_a_caller_that_is_interrupted_while_it_hands_over_a_job_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    executor = Executor(LIMITS, servers=1)
    executor.run(GOOD, "f", DOUBLE)
    with monkeypatch.context() as patch:
        patch.setattr(ServerProcess, "begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(executor.run_all([numbered(0)]))
    found: list[Execution] = []

    def run() -> None:
        with suppress(ExecutorError):
            found.append(executor.run(GOOD, "f", DOUBLE))

    job = in_thread(run)
    job.join(3)
    went_on = bool(found)
    pids = executor.server_pids
    executor.close()  # ends one that waits
    job.join()
    assert wait_until_gone(pids)
    assert went_on
