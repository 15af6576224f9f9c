"""Many programs at once, driven by one thread: threads that take turns with Python's lock would cost more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.process import Conversation, ServerProcess, Watch
from clarify_rl.executor.verdicts import Plan, Steps, infrastructure
from clarify_rl.types import Execution, Verdict

AHEAD = 64  # outcomes kept for each fork server while one that is due first still runs
NEGLECT_S = 0.1
STARTERS = 8  # fork servers that are started at one time


class Servers(Protocol):
    """Where fork servers come from."""

    servers: int

    def take(self, wait: bool = True) -> ServerProcess | None:
        """A fork server; None when there is none: without waiting, or because none can be started any more."""
        ...

    def give_back(self, server: ServerProcess, usable: bool) -> None:
        """Takes a fork server back, or ends one that is not usable."""
        ...


@dataclass
class Running:
    """A program on its way: its place in the order, the attempts at it so far, and the job that it waits for.

    `neglected`: for a while nobody read what it wrote, so that it may have seemed asleep.
    """

    number: int
    plan: Plan
    attempts: int = 0
    server: ServerProcess | None = None
    steps: Steps | None = None
    conversation: Conversation | None = None
    neglected: bool = False


class Crowd:
    """Runs plans on as many fork servers as there are, and gives the outcomes in the order of the plans."""

    def __init__(self, servers: Servers, is_final: Callable[[Execution, int], bool]) -> None:
        self.servers = servers
        self.is_final = is_final
        self.watch = Watch()
        self.active: list[Running] = []
        self.waiting: deque[Running] = deque()
        self.done: dict[int, Execution | ExecutorError] = {}
        self.attended_s = time.monotonic()

    def run(self, plans: Iterator[Callable[[], Plan]]) -> Iterator[Execution]:
        """The outcomes. A plan that cannot be made raises where its outcome would stand."""
        first = list(islice(plans, self.servers.servers))
        self.start_servers(len(first))
        rest = self.numbered((*first,), plans)
        given = 0
        try:
            while self.fill(rest, given) or self.active:
                self.move()
                while given in self.done:
                    outcome = self.done.pop(given)
                    given += 1
                    if isinstance(outcome, ExecutorError):
                        raise outcome
                    yield outcome
        finally:
            for each in self.active:
                self.let_go(each, usable=False)

    def start_servers(self, count: int) -> None:
        """Starts fork servers side by side: each takes a while, mostly on a processor of its own."""
        with ThreadPoolExecutor(STARTERS) as threads:
            taken = list(threads.map(lambda _: self.servers.take(wait=False), range(count)))
        for server in taken:
            if server is not None:
                self.servers.give_back(server, usable=True)

    def numbered(
        self, first: Iterable[Callable[[], Plan]], plans: Iterator[Callable[[], Plan]]
    ) -> Iterator[tuple[int, Callable[[], Plan]]]:
        number = 0
        for part in (first, plans):
            for make in part:
                yield number, make
                number += 1

    def fill(self, rest: Iterator[tuple[int, Callable[[], Plan]]], given: int) -> bool:
        """Begins as many programs as there are free fork servers; whether an outcome or a running program is there."""
        while len(self.active) < self.servers.servers:
            if not self.waiting:
                if len(self.done) >= AHEAD * self.servers.servers or (each := next(rest, None)) is None:
                    break
                number, make = each
                try:
                    self.waiting.append(Running(number, make()))
                except ExecutorError as error:
                    self.done[number] = error
                    continue
            server = self.servers.take(wait=not self.active)
            if server is None and self.active:
                break
            self.begin(self.waiting.popleft(), server)
        return bool(self.active) or given in self.done

    def begin(self, running: Running, server: ServerProcess | None) -> None:
        running.attempts += 1
        running.neglected = False
        if server is None:
            self.finish(running, infrastructure(running.plan.total, "the fork server did not start again"))
            return
        try:
            running.server, running.steps = server, running.plan.steps()
            running.conversation = server.begin(next(running.steps), self.watch)
            self.active.append(running)
        except BaseException:  # an interrupted caller: the server may hold half a job
            self.servers.give_back(server, usable=False)
            raise

    def move(self) -> None:
        """Waits for something to happen, and lets the programs that it happened to go on."""
        if time.monotonic() - self.attended_s > NEGLECT_S:  # the caller was busy with an outcome
            for each in self.active:
                each.neglected = True
        if self.active and not any(each.conversation and each.conversation.over for each in self.active):
            self.watch.wait()
        for each in [each for each in self.active if each.conversation and each.conversation.over]:
            self.go_on(each)
        self.attended_s = time.monotonic()

    def go_on(self, running: Running) -> None:
        assert running.steps and running.conversation and running.server
        outcome = running.conversation.outcome
        try:
            job = running.steps.send(outcome)
        except StopIteration as stop:
            execution: Execution = stop.value
            if running.neglected and execution.verdict in (Verdict.IDLE_TIMEOUT, Verdict.WALL_TIMEOUT):
                execution = infrastructure(running.plan.total, "the caller left its output unread")
            self.active.remove(running)
            self.let_go(running, usable=bool(outcome.reports))
            self.finish(running, execution)
            return
        running.conversation = running.server.begin(job, self.watch)

    def finish(self, running: Running, execution: Execution) -> None:
        """Keeps an outcome, or has the program wait for another attempt."""
        if self.is_final(execution, running.attempts):
            self.done[running.number] = execution
        else:
            self.waiting.append(running)

    def let_go(self, running: Running, usable: bool) -> None:
        assert running.conversation and running.server
        if not running.conversation.over:
            running.conversation.close()
        self.servers.give_back(running.server, usable)
