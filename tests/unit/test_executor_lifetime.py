"""What happens when fork servers die, when callers stop or fork, and when an executor is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Executor, Layer, Trial
from clarify_rl.types import Execution, Stdio, StdioCase, Verdict
from tests.executor_cases import (
    DOUBLE,
    GOOD,
    LIMITS,
    RESTLESS,
    ROOT,
    SLEEPER,
    SLOW,
    alive,
    checks,
    descendants,
    in_thread,
    in_threads,
    left_behind,
    needs,
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


def ready(server: int, own: bool) -> int:
    """The process that waits for the next job."""
    assert wait_until(lambda: len(descendants(server)) > own)
    return descendants(server)[-1]


# Servers that die.


def test_a_killed_server_is_replaced(executor: Executor) -> None:
    executor.run(GOOD, "f", DOUBLE)
    for _ in range(3):
        for pid in executor.server_pids:
            os.kill(pid, signal.SIGKILL)
        assert executor.run(GOOD, "f", DOUBLE).solved


def test_a_server_that_is_killed_harms_no_job_on_any(executor: Executor) -> None:
    executor.run(GOOD, "f", DOUBLE)
    executor.run(GOOD, "f", DOUBLE)
    before = [pid for server in executor.server_pids for pid in (server, *descendants(server))]
    found: list[Execution] = []
    job = in_thread(lambda: found.extend(in_threads(executor, [Trial(SLOW, "f", one(2, 1))] * 6, threads=4)))
    time.sleep(0.1)
    os.kill(executor.server_pids[0], signal.SIGKILL)
    job.join()
    assert [each.verdict for each in found] == [Verdict.PASS] * 6
    assert not left_behind(executor)
    executor.close()
    assert wait_until_gone(before)


def test_the_first_process_of_a_namespace_may_be_killed_too(executor: Executor) -> None:
    needs(Layer.NAMESPACES)
    executor.run(GOOD, "f", DOUBLE)
    os.kill(descendants(executor.server_pids[0])[0], signal.SIGKILL)
    assert executor.run(GOOD, "f", DOUBLE).solved
    assert executor.run(GOOD, "f", DOUBLE).solved


def test_a_ready_process_that_is_killed_is_replaced() -> None:
    with Executor(LIMITS, servers=1) as executor:
        executor.run(GOOD, "f", DOUBLE)
        before = executor.server_pids
        own = executor.capabilities.is_process_one
        silent = Stdio((StdioCase("", ""),))
        for tests in (DOUBLE, silent, checks("assert candidate(1) == 2")):
            for _ in range(2):  # the second time what is ready is of the right kind
                os.kill(ready(before[0], own), signal.SIGKILL)
                assert executor.run(GOOD, "f", tests).solved
        assert executor.server_pids == before


def test_a_message_about_a_job_that_is_over_harms_no_other() -> None:
    with Executor(RESTLESS, servers=1) as executor:
        assert executor.run(GOOD, "f", DOUBLE).solved
        before, server = executor.server_pids, executor.take()
        assert server is not None
        for late in ("watch", "cancel", "prepare"):
            server.say(late, 1, kind="judge")
        executor.give_back(server, usable=True)
        time.sleep(2 * RESTLESS.idle_s)  # a process that is watched while it waits would be taken for a sleeper
        assert executor.run(GOOD, "f", DOUBLE).solved
        assert executor.server_pids == before


def test_a_server_that_dies_again_and_again_is_unmeasured() -> None:
    found: list[Execution] = []
    with Executor(LIMITS, servers=1) as executor:
        executor.run(GOOD, "f", DOUBLE)
        job = in_thread(lambda: found.append(executor.run(SLEEPER, "f", DOUBLE)))
        while job.is_alive():
            time.sleep(0.2)
            for pid in executor.server_pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert found[0].verdict is Verdict.INFRASTRUCTURE
    assert not found[0].measured
    assert found[0].per_test == ("missing",) * 3


def test_a_caller_without_free_descriptors_gets_no_measurement() -> None:
    script = "import os, resource\nfrom clarify_rl.executor import Executor\nfrom clarify_rl.types import Case, Tests\n"
    script += (
        "executor = Executor(servers=1)\nrun = lambda: executor.run('def f(): return 1', 'f', Tests((Case((), 1),)))\n"
    )
    script += "run()\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))\nkept = []\ntry:\n"
    script += "    while True: kept.append(os.open('/dev/null', 0))\nexcept OSError: pass\n"
    script += "print(run().verdict)\n[os.close(each) for each in kept]\nprint(run().verdict)\n"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["infrastructure", "pass"], done.stderr


# Callers that stop.


class Stopped(BaseException):
    """What a signal handler raises."""


@pytest.mark.parametrize(
    ("error", "delay_s"), [(Stopped, 0.001), (KeyboardInterrupt, 0.002), (Stopped, 0.005), (KeyboardInterrupt, 0.1)]
)
def test_an_interrupted_job_does_not_answer_the_next_one(
    executor: Executor, error: type[BaseException], delay_s: float
) -> None:
    def interrupt(*_: object) -> None:
        raise error

    def interrupted() -> None:
        signal.setitimer(signal.ITIMER_REAL, delay_s)
        executor.run(SLEEPER, "f", DOUBLE)

    executor.run(GOOD, "f", DOUBLE)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(error):
            interrupted()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for k in range(3):
        assert executor.run(f"def f():\n    return {k}", "f", one(k)).solved
    assert not left_behind(executor)


@pytest.mark.parametrize("delay_s", [0.02, 0.1])
def test_a_caller_that_is_interrupted_while_a_server_starts_can_go_on(delay_s: float) -> None:
    executor = Executor(LIMITS, servers=1)

    def interrupt(*_: object) -> None:
        raise Stopped

    def interrupted() -> None:
        signal.setitimer(signal.ITIMER_REAL, delay_s)
        executor.run(SLEEPER, "f", DOUBLE)

    children = set(descendants(os.getpid()))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Stopped):
            interrupted()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert wait_until_gone(set(descendants(os.getpid())) - children)
    with executor:
        assert executor.run(GOOD, "f", DOUBLE).solved


def killed_caller(body: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that has run `body` up to a line that names its fork servers, and all processes below it."""
    script = "import os, threading, time\nfrom clarify_rl.executor import Executor\nfrom clarify_rl.types import *\n"
    script += "executor = Executor(servers=2)\ntests = Tests((Case((), 1),))\n"
    script += "run = lambda text='def f(): return 1', tests=tests: executor.run(text, 'f', tests)\nrun(), run()\n"
    script += "sleep = 'import time\\ndef f(): time.sleep(60)'\n"
    script += f"{body}\ntime.sleep(0.3)\nprint(*executor.server_pids, flush=True)\ntime.sleep(60)\n"
    caller = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    servers = [int(pid) for pid in caller.stdout.readline().split()]
    assert servers
    return caller, [pid for server in servers for pid in (server, *descendants(server))]


RUNS = {
    "nothing": "",
    "pairs": "threading.Thread(target=run, args=(sleep,)).start()",
    "more than there are servers": "[threading.Thread(target=run, args=(sleep, each)).start() for each in "
    "(Assertions(('candidate()',)), Stdio((StdioCase('', ''),)), tests, tests)]",
}


@pytest.mark.parametrize(
    ("runs", "how"),
    [
        ("nothing", signal.SIGKILL),
        ("pairs", signal.SIGTERM),
        ("pairs", signal.SIGKILL),
        ("more than there are servers", signal.SIGKILL),
    ],
)
def test_a_killed_caller_leaves_no_process_behind(runs: str, how: signal.Signals) -> None:
    caller, pids = killed_caller(RUNS[runs])
    caller.send_signal(how)
    caller.wait()
    assert caller.stdout is not None
    caller.stdout.close()
    assert wait_until_gone(pids)


def test_a_killed_caller_leaves_no_server_even_where_a_fork_of_it_lives_on() -> None:
    caller, pids = killed_caller("child = os.fork()\nif child == 0:\n    time.sleep(60)\n    os._exit(0)")
    forked = [pid for pid in descendants(caller.pid) if pid not in pids]
    caller.kill()
    caller.wait()
    assert caller.stdout is not None
    caller.stdout.close()
    assert wait_until_gone(pids, 30.0)
    assert any(map(alive, forked))
    for pid in forked:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_closing_ends_the_servers_and_may_be_repeated() -> None:
    executor = Executor(LIMITS)
    executor.close()
    executor = Executor(LIMITS)
    executor.run(GOOD, "f", DOUBLE)
    pids = [pid for server in executor.server_pids for pid in (server, *descendants(server))]
    executor.close()
    executor.close()
    assert wait_until_gone(pids)
    with pytest.raises(ExecutorError, match="closed; make a new one"):
        executor.run(GOOD, "f", DOUBLE)


def test_closing_releases_those_who_wait_for_a_server() -> None:
    executor = Executor(LIMITS, servers=1)
    found: list[object] = []

    def run() -> None:
        try:
            found.append(executor.run(SLEEPER, "f", one(2, 1)).verdict)
        except ExecutorError as error:
            found.append(str(error))

    executor.run(GOOD, "f", DOUBLE)
    jobs = [in_thread(run) for _ in range(3)]
    time.sleep(0.05)
    executor.close()
    for job in jobs:
        job.join()
    assert len(found) == 3
    assert all("closed" in str(each) or each is Verdict.INFRASTRUCTURE for each in found)


def test_closing_ends_a_job_that_runs() -> None:
    executor = Executor(LIMITS, servers=1)

    def run() -> None:
        with suppress(ExecutorError):
            executor.run(SLEEPER, "f", DOUBLE)

    executor.run(GOOD, "f", DOUBLE)
    pids = [*executor.server_pids, *descendants(executor.server_pids[0])]
    job = in_thread(run)
    time.sleep(0.2)
    executor.close()
    assert wait_until_gone(pids, 30.0)  # far sooner than its limits would end it
    job.join()


# Forks of the caller.


def test_a_fork_of_the_caller_gets_servers_of_its_own() -> None:
    script = (
        "import os\nfrom clarify_rl.executor import Executor\nfrom clarify_rl.types import Case, Tests\n"
        "executor = Executor(servers=2)\n"
        "run = lambda: executor.run('def f(): return 1', 'f', Tests((Case((), 1),))).solved\n"
        "assert run()\nservers = executor.server_pids\npid = os.fork()\n"
        "good = run() and run() and bool(set(executor.server_pids) & set(servers)) == (pid != 0)\nexecutor.close()\n"
        "if pid == 0: os._exit(not good)\nassert good and os.waitpid(pid, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_a_fork_that_only_ends_takes_nothing_from_its_parent(executor: Executor) -> None:
    executor.run(GOOD, "f", DOUBLE)
    before = executor.server_pids
    pid = os.fork()
    if pid == 0:
        executor.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert executor.run(GOOD, "f", DOUBLE).solved
    assert set(before) <= set(executor.server_pids)
