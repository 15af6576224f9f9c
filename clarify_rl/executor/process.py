"""The caller's end of a fork server: starts it, hands it one job at a time, and reads the raw output."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import select
import socket
import subprocess
import sys
import time
import weakref
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.capabilities import Capabilities
from clarify_rl.executor.limits import Settings
from clarify_rl.executor.report import Report

START_S = 60.0
SHORT_S = 0.005
GRACE_S = 10.0
LAUNCH = Path(__file__).with_name("fork_server") / "launch.py"
MESSAGE_BYTES = 1 << 16
MOST_DESCRIPTORS = 2
PROGRAM, JUDGE = "program", "judge"
SOCKETS = {PROGRAM: 2, JUDGE: 1}
# Programs must behave alike on every run: a fixed hash seed fixes the order of sets.
# One memory arena, because every further one takes 64 MiB of the program's address space.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class JobOutcome:
    """One job's raw output and the reports on its processes, the program's first; none: the fork server was lost."""

    output: bytes = field(default=b"", repr=False)
    printed: bytes = field(default=b"", repr=False)
    overflow: bool = False
    reports: tuple[Report, ...] = ()


@dataclass(frozen=True)
class Job:
    """What a process gets: one line of JSON and, for a program that reads and prints, its input."""

    kind: str
    request: bytes
    output_bytes: int
    stdin: bytes | None = None


@dataclass(frozen=True)
class Offer:
    """A process that waits for a job: the number that the job will have, and the sockets to the process."""

    job: int = 0
    channels: tuple[socket.socket, ...] = ()


class ServerProcess:
    """A running fork server. It ends when this end of the control socket closes, however that happens."""

    def __init__(self, settings: Settings, launch: Path = LAUNCH) -> None:
        if sys.platform != "linux" or not sys.executable:
            raise ExecutorError(f"The executor needs Linux and a Python interpreter file, found {sys.platform}.")
        self.settings = settings
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        _let_go_in_forks(self)
        with theirs:
            self.process = self._launched(settings.profile.python or sys.executable, launch, theirs.fileno())
        self.capabilities = self._greeting()

    def _launched(self, python: str, launch: Path, control: int) -> subprocess.Popen[bytes]:
        flags = ["-s", "-P", "-B"] if self.settings.profile.packages else ["-s", "-S", "-P", "-B"]
        try:
            return subprocess.Popen(
                [python, *flags, str(launch), str(control)],
                pass_fds=[control],
                env=ENVIRONMENT | {key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            self.control.close()
            raise ExecutorError(f"Cannot start the interpreter {python!r}: {error.strerror}.") from None

    def _greeting(self) -> Capabilities:
        self.control.settimeout(START_S)
        try:
            self.control.send(json.dumps(asdict(self.settings)).encode())
            greeting = self.control.recv(MESSAGE_BYTES)
        except OSError:
            greeting = b""
        self.control.settimeout(None)
        if not greeting:
            self.close()
            raise ExecutorError("The executor's fork server did not start; its own message is above.")
        answer = json.loads(greeting)
        return Capabilities(answer["layers"], tuple(answer["escapes"]))

    def exchange(self, job: Job) -> JobOutcome:
        """Runs one job to its end. After an exception or an outcome without reports, do not use this server again."""
        conversation = Conversation(self, job)
        try:
            while not conversation.over:
                conversation.wait()
        finally:
            if not conversation.over:
                conversation.close()
        return conversation.outcome

    def take(self, kind: str) -> Offer | None:
        """A process of this kind, or None when none is ready yet. EOFError when the fork server is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self.control, MESSAGE_BYTES, MOST_DESCRIPTORS, socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return None
        channels = tuple(socket.socket(fileno=descriptor) for descriptor in descriptors)
        if not data:
            raise EOFError
        message = json.loads(data)
        offered = message.get("offer")
        if offered == kind and len(channels) == SOCKETS[kind]:
            return Offer(message["job"], channels)
        for channel in channels:
            channel.close()
        if offered is None:  # a report: the process that was ready is gone, and the next one is on its way
            return None
        if len(channels) < SOCKETS[offered]:  # the kernel drops what this process has no free descriptors for
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.say("prepare", message["job"], kind=kind)
        return None

    def say(self, what: str, job: int, **more: str) -> None:
        self.control.send(json.dumps({"do": what, "job": job, **more}).encode())

    def close(self) -> None:
        """Ends the fork server and whatever it runs. In a fork of the owner it only lets go of the socket."""
        if self.owner != os.getpid():
            self.control.close()
            return
        self.hang_up()
        self.control.close()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def hang_up(self) -> None:
        """Ends the fork server from another thread than the one that waits for it."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)


_servers: weakref.WeakSet[ServerProcess] = weakref.WeakSet()


def _let_go_in_forks(server: ServerProcess) -> None:
    """Has a fork of this process close its copy of the control socket, which would keep the fork server alive."""
    _servers.add(server)
    _register_once()


@functools.cache
def _register_once() -> None:
    def let_go() -> None:
        for server in list(_servers):
            server.control.close()

    os.register_at_fork(after_in_child=let_go)


class _Stream:
    """One socket to a process: what is still to be sent, and what has come."""

    def __init__(self, socket_: socket.socket, unsent: bytes | None, most_bytes: int) -> None:
        self.socket = socket_
        self.unsent = memoryview(unsent or b"")
        self.ends = unsent is not None  # whether the other side waits for the end of what it reads
        self.received = bytearray()
        self.most_bytes = most_bytes
        self.overflow = False
        self.over = False

    @property
    def wanted(self) -> int:
        return select.POLLIN | select.POLLOUT if self.unsent else select.POLLIN

    def send(self) -> None:
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.unsent = self.unsent[:0]
        if not self.unsent and self.ends:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)

    def receive(self) -> bool:
        """Whether more may come."""
        try:
            part = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            part = b""
        self.received += part
        self.overflow = len(self.received) > self.most_bytes
        self.over = not part or self.overflow
        return not self.over


class Conversation:
    """Sends the request and collects the output until the fork server reports that the processes are gone.

    For the first moments it only waits for that report: most programs are over by then, and a thread that is woken for
    every line costs more than the program.
    """

    def __init__(self, server: ServerProcess, job: Job) -> None:
        self.server, self.control, self.job = server, server.control, job
        self.poller = select.poll()
        self.reports: tuple[Report, ...] = ()
        self.over = False
        self.outcome = JobOutcome()
        self.offer = Offer()
        self.streams: list[_Stream] = []
        self.open: dict[int, _Stream] = {}
        self.started_s = time.monotonic()
        self.due_s = self.deadline_s = self.started_s + START_S
        self.poller.register(self.control.fileno(), select.POLLIN)
        self.start()

    def wait(self) -> None:
        """Does what is due: something came, or time has passed."""
        pause_s = self.due_s - time.monotonic()
        for descriptor, event in self.poller.poll(max(0.0, 1000 * pause_s)):
            if not self.over and (descriptor in self.open or descriptor == self.control.fileno()):
                self.handle(descriptor, event)
        if not self.over and time.monotonic() >= self.due_s:
            self.look()

    def start(self) -> None:
        """Sends the request if a process is ready for it."""
        try:
            offer = self.server.take(self.job.kind)
        except (OSError, EOFError):
            self.end()
            return
        if offer is None:
            return
        self.offer = offer
        for channel in offer.channels:
            channel.setblocking(False)
        self.streams = [_Stream(offer.channels[0], self.job.request, self.job.output_bytes)]
        self.streams[0].ends = False
        if self.job.stdin is not None:
            self.streams.append(_Stream(offer.channels[1], self.job.stdin, self.job.output_bytes))
        self.started_s = time.monotonic()
        self.deadline_s = self.started_s + self.server.settings.limits.wall_s + GRACE_S
        self.due_s = self.started_s + SHORT_S
        for stream in self.streams:
            stream.send()

    def look(self) -> None:
        """What is due when time has passed: no short job, so have it watched and read what it writes; or give up."""
        if time.monotonic() >= self.deadline_s:
            self.end()
            return
        self.due_s = self.deadline_s
        self.say("watch")
        self.open = {stream.socket.fileno(): stream for stream in self.streams}
        for descriptor, stream in self.open.items():
            self.poller.register(descriptor, stream.wanted)

    def say(self, what: str) -> None:
        with contextlib.suppress(OSError):  # the end of the control socket will be found in its turn
            self.server.say(what, self.offer.job)

    def handle(self, descriptor: int, event: int) -> None:
        if descriptor in self.open:
            self.move(descriptor, event)
        elif not self.streams:
            self.start()
        else:
            self.reports = self.report()
            self.end()

    def end(self) -> None:
        """Reads what is left, and lets go of the sockets."""
        if self.reports:
            self.drain()
        if self.streams:
            self.outcome = self.collected()
        self.close()

    def collected(self) -> JobOutcome:
        return JobOutcome(
            bytes(self.streams[0].received),
            bytes(self.streams[-1].received) if len(self.streams) > 1 else b"",
            any(stream.overflow for stream in self.streams),
            self.reports,
        )

    def close(self) -> None:
        """Lets go of the sockets, also in the middle of a job: the server must not be used again then."""
        self.over = True
        for channel in self.offer.channels:
            channel.close()

    def report(self) -> tuple[Report, ...]:
        with contextlib.suppress(ConnectionResetError):
            if data := self.control.recv(MESSAGE_BYTES):
                wall_s = time.monotonic() - self.started_s
                return tuple(Report(**report, wall_s=wall_s) for report in json.loads(data)["report"])
        return ()

    def move(self, descriptor: int, event: int) -> None:
        stream = self.open[descriptor]
        if event & select.POLLOUT and stream.unsent:
            stream.send()
            self.poller.modify(descriptor, stream.wanted)
        if event & ~select.POLLOUT and not stream.receive():
            self.stop(descriptor)

    def stop(self, descriptor: int) -> None:
        """No more from this socket; one that sent too much is the end of its process."""
        self.poller.unregister(descriptor)
        if self.open.pop(descriptor).overflow:
            self.say("cancel")

    def drain(self) -> None:
        """Reads what the processes had sent before they ended."""
        for stream in self.streams:
            if stream.over:
                continue
            before = -1
            while len(stream.received) > before:
                before = len(stream.received)
                if not stream.receive():
                    break
