"""The fork server: keeps one sealed process ready, watches it while it runs a program, and clears up behind it.

It never sees a program or a test: the caller and the process talk over sockets that are only passed through here. The
process is forked and sealed before its job arrives, so that the caller need not wait for that.

Messages on the control socket are JSON. To the caller: the capabilities, then {"offer": kind} with the ready process's
sockets, then {"report": ...} when a job is over, then the next offer. From the caller: {"do": "watch"} for a job that
is not over in a few milliseconds, {"do": "prepare", "kind": kind}, {"do": "cancel"}; end of file ends it all. Each has
the number of the offer that it is about as its "job", since messages cross.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from clarify_rl.executor.capabilities import Layer
from clarify_rl.executor.fork_server.candidate import run_candidate
from clarify_rl.executor.fork_server.clean_up import empty_scratch, sweep
from clarify_rl.executor.fork_server.jail import rest_of
from clarify_rl.executor.fork_server.judge import run_judge
from clarify_rl.executor.fork_server.probe import escapes
from clarify_rl.executor.fork_server.seal import CHANNEL, STREAM, Sandbox, prepare, seal
from clarify_rl.executor.fork_server.syscalls import cpu_clock_s
from clarify_rl.executor.fork_server.warm_up import rehearse, rehearse_judge, rehearse_pairs, warm_up
from clarify_rl.executor.limits import Limits, Profile, Settings

MESSAGE_BYTES = 1 << 16
CONTROL = 20  # out of the way of the descriptors that a child arranges
PROGRAM, JUDGE = "program", "judge"
LOOK_S = 0.002
LOOK_AGAIN_S = 0.1
DYING_S = 0.05
IDLE_SHARE = 0.1
UNSEEN_S = 0.02  # of processor time of threads that have ended: a thread that ran for less hardly waited to
# Programs expect these to import even where the standard library is unreadable to the user they run as.
PRELOADED = (
    "math re typing collections itertools functools heapq bisect string random datetime copy operator fractions "
    "decimal statistics json textwrap cmath array queue enum dataclasses abc io types warnings contextlib calendar "
    "numbers hashlib struct threading _strptime unicodedata traceback inspect ast pprint secrets zlib base64 "
    "uuid logging collections.abc encodings.idna encodings.latin_1 encodings.ascii"
).split()


@dataclass
class Child:
    """One forked process. `why` says who ended it: "" itself, or cpu, wall, idle, cancelled, done."""

    pid: int
    ended: int
    why: str = ""


@dataclass(frozen=True)
class Unit:
    """What runs one job: a program's process and, for assertions, the judge's."""

    job: int
    kind: str
    children: tuple[Child, ...]


def serve(control_descriptor: int) -> None:
    """Answers jobs on the control socket until the caller closes it or dies."""
    if control_descriptor != CONTROL:
        os.dup2(control_descriptor, CONTROL, inheritable=False)
        os.close(control_descriptor)
    control = socket.socket(fileno=CONTROL)
    settings = _settings(json.loads(control.recv(MESSAGE_BYTES)))
    for name in (*PRELOADED, *settings.profile.preload):
        importlib.import_module(name)
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # what the site module would give
    warm_up()
    for descriptor in (CHANNEL, STREAM):  # taken, so that no socket gets the numbers that a child gives its own
        os.dup2(0, descriptor)
    sandbox = prepare(settings, keep=(CONTROL,))
    greeting = {"layers": sandbox.layers, "escapes": escapes(sandbox)}
    _forget_traces()
    control.send(json.dumps(greeting).encode())
    Server(control, sandbox).run()


def _settings(message: dict[str, Any]) -> Settings:  # Any: made by asdict(Settings)
    return Settings(Limits(**message["limits"]), Profile(**message["profile"]), tuple(message["without"]))


def _forget_traces() -> None:
    """Leaves nothing of the caller's for a program to find, and a heap that forks cheaply."""
    os.dup2(0, 2)
    os.environ.clear()
    sys.argv = [""]
    for name in [name for name in sys.modules if name.startswith("clarify_rl")]:
        del sys.modules[name]
    sys.set_int_max_str_digits(0)  # the processor limit takes care of slow conversions
    gc.collect()
    gc.freeze()


class Server:
    """Offers a unit, runs a job with it, reports, and offers the next one."""

    def __init__(self, control: socket.socket, sandbox: Sandbox) -> None:
        self.control = control
        self.sandbox = sandbox
        self.pid = os.getpid()
        self.cores = os.cpu_count() or 1
        self.offers = 0

    def run(self) -> NoReturn:
        unit = self.offer(PROGRAM)
        while True:
            message = self.next(unit)
            match message.get("do"):
                case "gone":
                    self.report(unit)
                case _ if message["job"] != unit.job:
                    continue
                case "watch" | "over":
                    self.report(unit)
                    unit = self.offer(unit.kind)
                case "prepare":
                    self.end(unit)
                    unit = self.offer(str(message["kind"]))

    def next(self, unit: Unit) -> dict[str, object]:
        """The caller's next message, or that the unit is over: short jobs end before the caller has them watched."""
        poller = select.poll()
        for descriptor in (CONTROL, *(child.ended for child in unit.children)):
            poller.register(descriptor, select.POLLIN)
        if CONTROL in dict(poller.poll()):
            return self.receive()
        return {"do": "over", "job": unit.job}

    def receive(self) -> dict[str, object]:
        """The next message; {"do": "gone"} when the caller is."""
        try:
            data = self.control.recv(MESSAGE_BYTES)
        except ConnectionResetError:
            data = b""
        message: dict[str, object] = json.loads(data) if data else {"do": "gone"}
        return message

    def send(self, message: dict[str, object], descriptors: list[int]) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], descriptors)
        except OSError:
            os._exit(0)

    def offer(self, kind: str) -> Unit:
        """Forks the processes of a unit and passes the sockets to them to the caller."""
        ours, theirs = socket.socketpair()
        more, stream = socket.socketpair()
        self.offers += 1
        if kind == JUDGE:
            judge = self.fork(lambda: self.be_judge(theirs.fileno(), more.fileno()))
            candidate = self.fork(lambda: self.be_candidate(stream.fileno(), None))
            unit = Unit(self.offers, kind, (candidate, judge))
            passed = [ours.fileno()]
        else:
            unit = Unit(self.offers, kind, (self.fork(lambda: self.be_candidate(theirs.fileno(), stream.fileno())),))
            passed = [ours.fileno(), more.fileno()]
        self.send({"offer": kind, "job": unit.job}, passed)
        for descriptor in (ours, theirs, more, stream):
            descriptor.close()
        return unit

    def fork(self, be: Callable[[], None]) -> Child:
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                be()
                status = 0
            finally:
                os._exit(status)
        return Child(pid, os.pidfd_open(pid))

    def be_candidate(self, channel: int, stream: int | None) -> None:
        seal(self.sandbox, self.pid, channel, stream)
        rehearse(CHANNEL, rehearse_pairs)
        run_candidate(CHANNEL, None if stream is None else STREAM, self.sandbox.limits.output_bytes)

    def be_judge(self, channel: int, candidate: int) -> None:
        seal(self.sandbox, self.pid, channel, candidate)
        rehearse(CHANNEL, rehearse_judge)
        run_judge(CHANNEL, STREAM, self.sandbox.limits.output_bytes)

    def report(self, unit: Unit) -> None:
        """Watches a running unit to its end and tells the caller how it ended; ends itself when the caller is gone."""
        gone = self.watch(unit, time.monotonic())
        reports = [self.reap(child) for child in unit.children]
        if not self.sandbox.works(Layer.SECCOMP):
            reports[0]["cpu_s"] = float(str(reports[0]["cpu_s"])) + sweep(self.sandbox, unit.children[0].pid)
        if gone:
            os._exit(0)
        self.send({"report": reports, "job": unit.job}, [])
        if self.sandbox.limits.files_mb and self.sandbox.works(Layer.FILES):
            empty_scratch()  # after the report: a program must not gain by making this fail

    def end(self, unit: Unit) -> None:
        """Ends a unit that was never used."""
        for child in unit.children:
            _kill(child, "cancelled")
            self.reap(child)

    def watch(self, unit: Unit, started_s: float) -> bool:
        """Waits for the children to end and kills them when they must; whether the caller is gone."""
        poller = select.poll()
        running = {child.ended: child for child in unit.children}
        for descriptor in (*running, CONTROL):
            poller.register(descriptor, select.POLLIN)
        gone, pause_s = False, 0.0  # most jobs are over at the first look
        while running:
            for descriptor, _ in poller.poll(1000 * pause_s):
                if descriptor in running:
                    poller.unregister(descriptor)
                    ended = running.pop(descriptor)
                    if ended is unit.children[-1]:  # without its judge a program has nothing left to do
                        _kill_all(running.values(), "done")
                    continue
                message = self.receive()
                gone = message["do"] == "gone"
                if gone or (message["do"] == "cancel" and message["job"] == unit.job):
                    _kill_all(running.values(), "cancelled")
                if gone:
                    poller.unregister(CONTROL)
            pause_s = self.allow(running.values(), time.monotonic() - started_s) if running else 0.0
        return gone

    def allow(self, running: Collection[Child], wall_s: float) -> float:
        """The seconds that nobody need look at the children for; kills those that have used up their limits."""
        limits = self.sandbox.limits
        if all(child.why for child in running):
            return DYING_S
        cpu_left_s, used_s = limits.cpu_s, 0.0
        for child in running:
            left_s = limits.cpu_s - cpu_clock_s(child.pid)
            cpu_left_s = min(cpu_left_s, left_s)
            used_s += limits.cpu_s - left_s
            if left_s <= 0:
                _kill(child, "cpu")
        if wall_s >= limits.wall_s:
            _kill_all(running, "wall")
        idle_left_s = limits.idle_s - wall_s
        if idle_left_s <= 0:
            slept_s = self.slept_s(running, wall_s, used_s)
            if slept_s >= limits.idle_s:
                _kill_all(running, "idle")
            idle_left_s = max(limits.idle_s - slept_s, LOOK_AGAIN_S)
        # Threads use up to one second per core and second, so this is the soonest that the limit can be reached.
        return max(LOOK_S, min(cpu_left_s / self.cores, limits.wall_s - wall_s, idle_left_s))

    def slept_s(self, running: Collection[Child], wall_s: float, used_s: float) -> float:
        """Seconds of `wall_s` that these children slept through for sure; 0.0 where that cannot be told."""
        rest = rest_of([child.pid for child in running], wall_s)
        # How long threads waited that have ended is not known: what runs now and then is left to the other limits.
        if rest is None or (rest.of_ended_s > UNSEEN_S and used_s >= IDLE_SHARE * wall_s):
            return 0.0
        return rest.asleep_s

    def reap(self, child: Child) -> dict[str, object]:
        """What a report says of one process, but for the time on the wall."""
        _, status, usage = os.wait4(child.pid, 0)
        os.close(child.ended)
        cpu_s = usage.ru_utime + usage.ru_stime
        if cpu_s >= self.sandbox.limits.cpu_s and child.why != "cancelled":  # also when it ended between two looks
            child.why = "cpu"
        return {"exit": os.waitstatus_to_exitcode(status), "cpu_s": cpu_s, "why": child.why}


def _kill_all(children: Iterable[Child], why: str) -> None:
    for child in children:
        _kill(child, why)


def _kill(child: Child, why: str) -> None:
    """Kills a child, and says why unless a reason is known."""
    child.why = child.why or why
    try:
        os.kill(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
