"""The executor as its callers meet it: many threads, forks, crashes and interruptions, and nothing left behind."""

from __future__ import annotations

import os
import pickle
import random
import signal
import sys
import threading
from collections.abc import Iterator
from copy import copy
from dataclasses import fields
from itertools import count
from pathlib import Path

import pytest

from clarify_rl.config import ExecutorConfig
from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Executor, Limits, Profile, Trial
from clarify_rl.executor.process import Job, JobOutcome, ServerProcess
from clarify_rl.types import Case, HiddenTests, Stdio, StdioCase, Tests, Verdict
from tests.executor_cases import (
    DOUBLE,
    GOOD,
    LIMITS,
    RESTLESS,
    SLEEPER,
    SPAN,
    alive,
    checks,
    descendants,
    in_threads,
    most_at_once,
    on_linux,
    one,
    wait_until,
    wait_until_gone,
)

pytestmark = on_linux


@pytest.fixture
def executor() -> Iterator[Executor]:
    with Executor(LIMITS, servers=2) as executor:
        yield executor


# Many at once.


@pytest.mark.parametrize("servers", [1, 3])
def test_no_more_programs_run_at_once_than_there_are_servers(servers: int) -> None:
    with Executor(LIMITS, servers=servers) as executor:
        executions = in_threads(executor, [Trial(SPAN, "f", one(0))] * 14, threads=14)
        assert most_at_once(executions) <= servers
        assert len(executor.server_pids) == servers


def test_one_thread_alone_starts_no_more_servers_than_it_can_use() -> None:
    with Executor(LIMITS, servers=8) as executor:
        for _ in range(6):
            assert executor.run(GOOD, "f", DOUBLE).solved
        assert len(executor.server_pids) <= 2


def test_many_threads_get_each_their_own_answer(executor: Executor) -> None:
    trials = [Trial(f"def f(n):\n    return n + {k}", "f", one(k, 0)) for k in range(60)]
    wrong = [Trial(f"def f(n):\n    return n + {k}", "f", one(k + 1, 0)) for k in range(60)]
    mixed = [trial for pair in zip(trials, wrong, strict=True) for trial in pair]
    assert [each.solved for each in in_threads(executor, mixed, threads=16)] == [True, False] * 60


# Other processes.

SETTINGS = {
    "limits": Limits(cpu_s=1.0, wall_s=11.0, idle_s=3.0, memory_mb=300, output_mb=2, files_mb=1, threads=5),
    "servers": 3,
    "profile": Profile(sys.executable, packages=True, preload=("math",)),
    "allow_weak": True,
    "unsafe": True,
    "without": ("landlock",),
}


def settings(executor: Executor) -> dict[str, object]:
    return {name: getattr(executor, name) for name in SETTINGS}


def test_an_executor_copies_and_pickles_as_its_settings() -> None:
    executor = Executor(**SETTINGS)  # type: ignore[arg-type]  # all of them, by name
    assert {option.name for option in fields(Executor)} == set(SETTINGS)
    assert settings(executor) == settings(copy(executor)) == settings(pickle.loads(pickle.dumps(executor))) == SETTINGS
    assert pickle.loads(pickle.dumps(Executor())).servers is None  # as many as the other machine can bear


def test_a_run_configures_every_limit_and_all_of_the_profile() -> None:
    ours = ExecutorConfig()
    for part in (Limits(), Profile()):
        assert {name: getattr(ours, name) for name in vars(part)} == vars(part)


def test_a_copy_has_servers_of_its_own(executor: Executor) -> None:
    executor.run(GOOD, "f", DOUBLE)
    with copy(executor) as other:
        assert other.run(GOOD, "f", DOUBLE).solved
        assert not set(other.server_pids) & set(executor.server_pids)


# Many in a row.


def numbered(k: int) -> Trial:
    return Trial(f"def f():\n    return {k}", "f", one(k))


def test_many_programs_come_out_in_their_order(executor: Executor) -> None:
    trials = [Trial(f"def f():\n    return {k}", "f", one(k - k % 2)) for k in range(60)]
    assert [each.solved for each in executor.run_all(trials)] == [True, False] * 30
    assert list(executor.run_all([])) == []


def test_trials_are_taken_as_they_are_needed(executor: Executor) -> None:
    taken = count()
    outcomes = executor.run_all(numbered(next(taken)) for _ in range(500))
    assert next(outcomes).solved
    assert next(taken) < 50


def test_a_malformed_trial_raises_where_it_stands(executor: Executor) -> None:
    outcomes = executor.run_all([numbered(0), Trial(GOOD, "f", Tests(()))])
    assert next(outcomes).solved
    with pytest.raises(ExecutorError, match="at least one hidden test"):
        next(outcomes)


def test_outcomes_that_nobody_takes_hold_up_nobody_else(executor: Executor) -> None:
    outcomes = executor.run_all([numbered(0), *[Trial(SLEEPER, "f", DOUBLE)] * 40])
    assert next(outcomes).solved
    outcomes.close()  # type: ignore[attr-defined]  # a generator
    executor.close()  # ends those that had begun; the others never begin
    assert wait_until(lambda: not any(map(alive, executor.server_pids)))


def test_an_executor_that_is_closed_while_a_fork_server_starts_ends_that_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = Executor(servers=1)
    before = held()["children"]
    jobs: list[Job] = []

    def exchange(server: ServerProcess, job: Job) -> JobOutcome:
        jobs.append(job)
        return JobOutcome()

    monkeypatch.setattr(executor, "_check", lambda found: executor.close())
    monkeypatch.setattr(ServerProcess, "exchange", exchange)
    with pytest.raises(ExecutorError, match="closed"):
        executor.run(SLEEPER, "f", DOUBLE)
    assert not jobs  # it is not used once more
    assert executor.server_pids == ()
    assert wait_until(lambda: held()["children"] <= before), (held(), before)


# Nothing leaks.


PROGRAMS = (
    GOOD,
    "def f(n): return 0",
    "def f(n): 1 / 0",
    "def f(n): return object()",
    "def f(n): return 'x' * (5 << 20)",
    "def f(",
    "print(2 * int(input()))",
    "import os\nos._exit(0)",
    "import os\nos.close(3)",
    "import os\nos.write(3, b'x' * 999)",
    "import os\ndef f(n): os.kill(os.getpid(), 9)",
    f"import threading\nthreading.Thread(target=threading.Event().wait).start()\n{GOOD}",
)
KINDS: tuple[HiddenTests, ...] = (
    DOUBLE,
    checks("assert candidate(2) == 4", "assert f(1) == 2"),
    Stdio((StdioCase("1", "2"), StdioCase("2", "4"))),
)


def some_trials(number: int) -> Iterator[Trial]:
    """Programs of any kind, good and bad, with tests of any kind."""
    rng = random.Random(number)
    for _ in range(number):
        yield Trial(rng.choice(PROGRAMS), "f", rng.choice(KINDS))


def held() -> dict[str, int]:
    """What this process holds that could leak."""
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return {
        "descriptors": len([*Path("/proc/self/fd").iterdir()]),
        "threads": threading.active_count(),
        "children": sum(map(len, children)),
    }


def test_three_hundred_programs_leak_nothing() -> None:
    with Executor(RESTLESS, servers=3) as executor:
        in_threads(executor, [*some_trials(12)], threads=3)  # so that there are as many fork servers as there can be
        servers = executor.server_pids
        before = held()
        executions = list(executor.run_all(some_trials(300)))
        assert all(each.verdict is not Verdict.INFRASTRUCTURE for each in executions)
        assert any(each.solved for each in executions)
        assert executor.server_pids == servers
        assert wait_until(lambda: held() == before), (held(), before)
        assert wait_until(lambda: all(len(descendants(server)) <= 3 for server in servers))
    assert wait_until_gone(servers)


def test_servers_that_come_and_go_leak_nothing() -> None:
    before = held()
    for _ in range(2):
        with Executor(LIMITS, servers=1) as executor:
            executor.run(GOOD, "f", DOUBLE)
            os.kill(executor.server_pids[0], signal.SIGKILL)
            executor.run(GOOD, "f", DOUBLE)
    assert held() == before


# Mistakes of the caller.


@pytest.mark.parametrize("servers", [0, -1])
def test_no_servers_are_too_few(servers: int) -> None:
    with pytest.raises(ExecutorError, match="servers must be at least 1"):
        Executor(servers=servers)


def test_an_interpreter_that_is_not_there_is_named() -> None:
    with (
        Executor(profile=Profile("/no/such/python")) as executor,
        pytest.raises(ExecutorError, match="/no/such/python"),
    ):
        executor.run(GOOD, "f", DOUBLE)


@pytest.mark.parametrize("profile", [Profile("/bin/false"), Profile("/bin/cat"), Profile(preload=("no_such_module",))])
def test_a_fork_server_that_cannot_start_is_an_error(profile: Profile, capfd: pytest.CaptureFixture[str]) -> None:
    with Executor(LIMITS, profile=profile) as executor:
        for _ in range(2):
            with pytest.raises(ExecutorError, match="did not start"):
                executor.run(GOOD, "f", DOUBLE)
        assert executor.server_pids == ()


def test_capabilities_are_those_of_a_server_that_runs(executor: Executor) -> None:
    assert executor.capabilities.tier in "AB"
    assert len(executor.server_pids) == 1
    assert all(map(alive, executor.server_pids))


def test_a_case_may_be_given_in_any_number(executor: Executor) -> None:
    tests = Tests(tuple(Case((n,), 2 * n) for n in range(5000)))
    execution = executor.run(GOOD, "f", tests)
    assert execution.solved and execution.total == 5000
