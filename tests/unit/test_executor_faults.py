"""Each step of sealing a process, made to fail: the outcome is no measurement, and no program runs half sealed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from clarify_rl.executor import Executor, Layer, Limits, client
from clarify_rl.executor.process import ServerProcess
from clarify_rl.types import HiddenTests, Stdio, StdioCase, Verdict
from tests.executor_cases import DOUBLE, LIMITS, checks, descendants, launch, needs, on_linux, wait_until_gone

pytestmark = on_linux

PROGRAM = "def f(n):\n    return 2 * n\nif __name__ == '__main__':\n    print('x')"
ASSERTIONS = checks("assert candidate(1) == 2", "assert True")
KINDS: tuple[HiddenTests, ...] = (DOUBLE, ASSERTIONS, Stdio((StdioCase("", "x"),)))
# What seal() calls, and which of its calls; the last is seal() itself.
STEPS = [("seal.die_with_parent", 1), ("seal.seccomp.install_narrow", 1), ("resource.setrlimit", 1)]
STEPS += [("os.getppid", 1), ("os.closerange", 1), *(("os.dup2", n) for n in (1, 2, 3)), ("server.seal", 1)]
PATCH = """
import os, resource, select, socket
from clarify_rl.executor.fork_server import seal, server
begun = server.Server.run
def run(self):
    serving, right, offered, calls = os.getpid(), {step}, [], []
    def offer(kind):
        offered.append(kind)
        return server.Server.offer(self, kind)
    def faulty(*args, **named):
        if (os.getpid() == serving) is {in_child} or len(offered) > {offers}:
            return right(*args, **named)
        calls.append(args)
        if len(calls) != {call}:
            return right(*args, **named)
        {fault}
    self.offer = offer
    {step} = faulty
    begun(self)
server.Server.run = run
"""
Break = Callable[..., None]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Break:
    """Makes one call of the fork servers' children go wrong, once the servers have started."""

    def breaks(step: str, fault: str, *, call: int = 1, offers: int = 1 << 20, in_child: bool = True) -> None:
        patch = PATCH.format(step=step, fault=fault, call=call, offers=offers, in_child=in_child)
        monkeypatch.setattr(client, "ServerProcess", partial(ServerProcess, launch=launch(tmp_path, patch)))

    return breaks


@pytest.mark.parametrize(("step", "call"), STEPS)
def test_a_process_that_cannot_be_sealed_is_no_measurement(broken: Break, step: str, call: int) -> None:
    broken(step, "raise OSError(1, 'injected')", call=call)
    with Executor(LIMITS, servers=1) as executor:
        executions = [executor.run(PROGRAM, "f", tests) for tests in KINDS]
    assert [each.verdict for each in executions] == [Verdict.INFRASTRUCTURE] * 3
    assert not any(each.measured for each in executions)
    assert {mark for each in executions for mark in each.per_test} == {"missing"}


def test_a_process_that_cannot_confine_itself_to_its_files_is_no_measurement(broken: Break) -> None:
    broken("seal.landlock.restrict", "raise OSError(1, 'injected')")
    with Executor(LIMITS, servers=1, without=("namespaces",)) as executor:
        needs(Layer.LANDLOCK)
        for tests in KINDS:
            assert executor.run(PROGRAM, "f", tests).verdict is Verdict.INFRASTRUCTURE


@pytest.mark.parametrize(
    "fault", ["os._exit(0)", "os.kill(os.getpid(), 9)", "raise SystemExit(0)", "raise MemoryError"]
)
def test_a_process_that_ends_before_it_is_sealed_is_no_measurement(broken: Break, fault: str) -> None:
    broken("server.seal", fault)
    with Executor(LIMITS, servers=1) as executor:
        for tests in KINDS:
            assert executor.run(PROGRAM, "f", tests).verdict is Verdict.INFRASTRUCTURE


def test_a_process_that_hangs_before_it_is_sealed_is_ended_and_no_measurement(broken: Break) -> None:
    broken("server.seal", "__import__('time').sleep(60)")
    with Executor(Limits(cpu_s=0.2, wall_s=0.2, idle_s=0.1), servers=1) as executor:
        for tests in KINDS:
            assert executor.run(PROGRAM, "f", tests).verdict is Verdict.INFRASTRUCTURE


@pytest.mark.parametrize(
    ("tests", "offers"), [*zip(KINDS, (1, 2, 1), strict=True)], ids=lambda each: type(each).__name__
)
def test_a_fault_that_passes_is_made_good_by_a_second_attempt(broken: Break, tests: HiddenTests, offers: int) -> None:
    broken("server.seal", "raise OSError", offers=offers)
    with Executor(LIMITS, servers=1) as executor:
        assert executor.run(PROGRAM, "f", tests).solved
        assert len(executor.server_pids) == 1


@pytest.mark.parametrize(
    ("step", "call"),
    [
        *(("os.fork", n) for n in (1, 2, 3)),
        ("os.pidfd_open", 3),
        ("socket.socketpair", 2),
        ("socket.send_fds", 1),
        ("select.poll", 1),
        ("os.wait4", 1),
    ],
)
def test_a_fork_server_that_fails_gives_no_wrong_verdict_and_leaves_nothing(
    broken: Break, step: str, call: int
) -> None:
    broken(step, "raise OSError(11, 'injected')", call=call, in_child=False)
    with Executor(LIMITS, servers=1) as executor:
        execution = executor.run(PROGRAM, "f", ASSERTIONS)
        assert execution.verdict in (Verdict.INFRASTRUCTURE, Verdict.PASS)
        pids = [pid for server in executor.server_pids for pid in (server, *descendants(server))]
    assert wait_until_gone(pids)
