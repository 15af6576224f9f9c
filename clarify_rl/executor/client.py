"""The executor that callers use: a few fork servers with one program each at a time, for any number of threads."""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, fields
from types import TracebackType
from typing import Self

from clarify_rl.errors import ExecutorError, unknown_name
from clarify_rl.executor.assertions import plan_assertions
from clarify_rl.executor.capabilities import ADVICE, Capabilities, Layer
from clarify_rl.executor.compare import rule_of, stdio_rule_of
from clarify_rl.executor.functions import load_function
from clarify_rl.executor.limits import Limits, Profile, Settings
from clarify_rl.executor.pairs import Output, plan_outputs, plan_pairs
from clarify_rl.executor.process import Job, JobOutcome, ServerProcess
from clarify_rl.executor.stdio import plan_stdio
from clarify_rl.executor.trial import Trial
from clarify_rl.executor.verdicts import Plan
from clarify_rl.parallel import in_order
from clarify_rl.types import Assertions, Execution, HiddenTests, Stdio, Tests, Verdict

SERVERS_A_CORE = 2
FIRST_SERVERS = 2  # used in turn, so that one gets its next process ready while the other works
LITTLE_CPU = 0.5
ATTEMPTS = 3  # at a program whose fork server is lost
SECOND = 2  # the last attempt at a program that seems starved or asleep
CLOSED = "This executor is closed; make a new one."


@dataclass(eq=False)
class Executor:
    """Runs programs on hidden tests, in up to `servers` fork servers at a time; more callers wait their turn.

    Fork servers start when the first program comes. It copies and pickles as its settings: each copy, here or in
    another process, starts fork servers of its own.
    """

    limits: Limits = field(default_factory=Limits)
    _: KW_ONLY
    servers: int | None = None
    """By default two for each processor of the machine that runs them."""
    profile: Profile = field(default_factory=Profile)
    allow_weak: bool = False
    unsafe: bool = False
    without: Iterable[Layer | str] = ()

    def __post_init__(self) -> None:
        self.most_servers = SERVERS_A_CORE * len(os.sched_getaffinity(0)) if self.servers is None else self.servers
        if self.most_servers < 1:
            raise ExecutorError(f"servers must be at least 1, found {self.servers}.")
        self.without = tuple(map(str, self.without))
        for name in self.without:
            if name not in list(Layer):
                raise ExecutorError(unknown_name("layer", name, map(str, Layer)))
        self._closed = False
        self._worked = False  # whether a fork server has started here
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._free: deque[ServerProcess] = deque()
        self._running: set[ServerProcess] = set()
        self._started = 0  # running ones, and those that are being started
        self._changed = threading.Condition()

    def run(self, program: str, entry_point: str, tests: HiddenTests, prelude: str = "") -> Execution:
        """The outcome of one program. Only malformed tests and an unfit machine raise; the rest is a verdict."""
        return self.run_trial(Trial(program, entry_point, tests, prelude))

    def run_trial(self, trial: Trial) -> Execution:
        """The outcome of one program, as `run` gives it."""
        return self._final(self._plan(trial))

    def outputs(
        self, program: str, entry_point: str, inputs: Sequence[tuple[object, ...]], prelude: str = ""
    ) -> tuple[Output, ...]:
        """What a program gives for each of the inputs, as plain data: a reference as the oracle of more tests."""
        if not inputs:
            return ()
        plan = plan_outputs(Trial(program, entry_point, Tests(()), prelude), inputs, self.limits.output_bytes)
        return plan.outputs(self._final(plan))

    def _final(self, plan: Plan) -> Execution:
        """The outcome that the program decided, not the machine."""
        attempts = 0
        while True:
            execution = self._attempt(plan)
            attempts += 1
            if self._is_final(execution, attempts):
                return execution

    def run_all(self, trials: Iterable[Trial]) -> Iterator[Execution]:
        """The outcomes of many programs, in order, with as many in flight as there are fork servers.

        Trials are taken as they are needed. A malformed one raises where its outcome would stand.
        """
        return in_order(self.run_trial, trials, self.most_servers)

    def _plan(self, trial: Trial) -> Plan:
        output_bytes = self.limits.output_bytes
        match trial.tests:
            case Tests() as tests if tests.cases:
                return plan_pairs(trial, tests, rule_of(tests.compare, load_function), output_bytes)
            case Assertions() as tests if tests.checks:
                return plan_assertions(trial, tests, output_bytes)
            case Stdio() as tests if tests.cases:
                return plan_stdio(trial.program, tests, stdio_rule_of(tests.compare, load_function), self.limits)
        raise ExecutorError(
            "A program needs at least one hidden test; found none. Give Tests(cases=(Case(...), ...)), "
            "Assertions(checks=('assert ...', ...)) or Stdio(cases=(StdioCase(...), ...))."
        )

    def _attempt(self, plan: Plan) -> Execution:
        steps = plan.steps()
        job = next(steps)
        with self._server() as lease:
            while True:
                try:
                    job = steps.send(lease.exchange(job))
                except StopIteration as stop:
                    execution: Execution = stop.value
                    return execution

    def _is_final(self, execution: Execution, attempts: int) -> bool:
        """Whether the program, not the machine, decided this; or there were enough attempts."""
        if execution.verdict is Verdict.INFRASTRUCTURE:
            return attempts >= ATTEMPTS
        starved = execution.verdict is Verdict.WALL_TIMEOUT and execution.cpu_s < LITTLE_CPU * self.limits.cpu_s
        return attempts >= SECOND or not (starved or execution.verdict is Verdict.IDLE_TIMEOUT)

    @contextmanager
    def _server(self) -> Iterator[_Lease]:
        """A fork server for one caller. It goes back unless something went wrong with it or with the caller."""
        lease = _Lease(self.take())
        try:
            yield lease
        except BaseException:  # the reply of an interrupted job must not reach the next one
            lease.usable = False
            raise
        finally:
            if lease.server is not None:
                self.give_back(lease.server, lease.usable)

    def take(self) -> ServerProcess | None:
        """A free fork server, started if need be; None if one that worked here before cannot be started again."""
        if self._owner != os.getpid():  # inherited through a fork: not ours to use
            for server in self._free:
                server.close()
            self._reset()
        with self._changed:
            while True:
                if self._closed:
                    raise ExecutorError(CLOSED)
                if self._free and self._started >= min(FIRST_SERVERS, self.most_servers):
                    return self._free.popleft()
                if self._started < self.most_servers:
                    self._started += 1
                    break
                self._changed.wait()
        try:
            return self._start()
        except BaseException as error:
            with self._changed:
                self._started -= 1
                self._changed.notify()
            if isinstance(error, OSError) or (isinstance(error, ExecutorError) and self._worked):
                return None
            raise

    def _start(self) -> ServerProcess:
        server = ServerProcess(Settings(self.limits, self.profile, tuple(map(str, self.without))))
        try:
            self._check(server.capabilities)
        except ExecutorError:
            server.close()
            raise
        self._worked = True
        with self._changed:
            closed = self._closed  # while it started: nobody else knows it, so nobody else ends it
            if not closed:
                self._running.add(server)
        if closed:
            server.close()
            raise ExecutorError(CLOSED)
        return server

    def _check(self, capabilities: Capabilities) -> None:
        """Refuses a machine where programs could do harm or cheat, unless the caller has said that they may."""
        if capabilities.tier in "AB" or self.unsafe or (capabilities.tier == "C" and self.allow_weak):
            if self.limits.files_mb and not capabilities.works(Layer.FILES):
                why = capabilities.layers[Layer.FILES]
                raise ExecutorError(f"files_mb needs a private file system, which does not work here: {why}.")
            return
        advice = (
            "; ".join(f"{layer}: {ADVICE[layer]}" for layer in Layer if not capabilities.works(layer)) or "report this"
        )
        override = "allow_weak=True" if capabilities.tier == "C" else "unsafe=True, for trusted programs only"
        raise ExecutorError(
            f"Untrusted programs are not safe here. {capabilities.summary}. To do: {advice}. Or pass {override}."
        )

    def give_back(self, server: ServerProcess, usable: bool) -> None:
        """Takes a fork server back for the next caller, or ends one that is not usable."""
        if server.owner != os.getpid():
            return
        with self._changed:
            kept = usable and not self._closed
            if kept:
                self._free.append(server)
            else:
                self._started -= 1
                self._running.discard(server)
            self._changed.notify()
        if not kept:
            server.close()

    @property
    def server_pids(self) -> tuple[int, ...]:
        """Process ids of the running fork servers."""
        with self._changed:
            return tuple(server.process.pid for server in self._running)

    @property
    def capabilities(self) -> Capabilities:
        """Which layers work on this machine; starts a fork server when none is running."""
        with self._server() as lease:
            if lease.server is None:
                raise ExecutorError("The executor's fork server did not start.")
            return lease.server.capabilities

    def close(self) -> None:
        """Ends the fork servers and whatever they run: a caller that waits for that gets an ExecutorError."""
        with self._changed:
            self._closed = True
            free, busy = list(self._free), self._running - set(self._free)
            self._free.clear()
            self._running -= set(free)
            self._changed.notify_all()
        for server in busy:
            server.hang_up()
        for server in free:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[], Executor], tuple[()]]:
        settings = {option.name: getattr(self, option.name) for option in fields(self)}
        return functools.partial(Executor, **settings), ()


class _Lease:
    """One caller's use of a fork server."""

    def __init__(self, server: ServerProcess | None) -> None:
        self.server = server
        self.usable = server is not None

    def exchange(self, job: Job) -> JobOutcome:
        if self.server is None or not self.usable:
            return JobOutcome()
        outcome = self.server.exchange(job)
        self.usable = bool(outcome.reports)
        return outcome


def capabilities(without: Iterable[Layer | str] = ()) -> Capabilities:
    """Which of the executor's layers work on this machine, whatever that means for its safety."""
    return _capabilities(tuple(map(str, without)))


@functools.cache
def _capabilities(without: tuple[str, ...]) -> Capabilities:
    with Executor(servers=1, unsafe=True, without=without) as executor:
        return executor.capabilities
