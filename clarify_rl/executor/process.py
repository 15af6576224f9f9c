"""The caller's end of a fork server: starts it, hands it one job at a time, and reads the program's raw output."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.capabilities import Capabilities
from clarify_rl.executor.limits import Limits
from clarify_rl.executor.report import Report

START_S = 60.0
GRACE_S = 10.0
LAUNCH = Path(__file__).with_name("launch.py")
# Programs must behave alike on every run: a fixed hash seed fixes the order of sets.
# One memory arena, because every further one takes 64 MiB of the program's address space.
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}


@dataclass(frozen=True)
class Outcome:
    """One job's raw output, and the report; None when the fork server died or hung."""

    output: bytes = field(repr=False)
    overflow: bool
    report: Report | None


class ServerProcess:
    """A running fork server. It ends when this end of the control socket closes, however that happens."""

    def __init__(self) -> None:
        if sys.platform != "linux" or not sys.executable:
            raise ExecutorError(f"The executor needs Linux and a Python interpreter file, found {sys.platform}.")
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-B", str(LAUNCH), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT | {key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.capabilities = self._greeting()

    def _greeting(self) -> Capabilities:
        self.control.settimeout(START_S)
        try:
            greeting = self.control.recv(1 << 16)
        except OSError:
            greeting = b""
        self.control.settimeout(None)
        if not greeting:
            self.close()
            raise ExecutorError("The executor's fork server did not start; its own message is above.")
        return Capabilities(**json.loads(greeting))

    def exchange(self, request: bytes, limits: Limits, output_bytes: int) -> Outcome:
        """Runs one job to its end. After an exception or a missing report this server must not be used again."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                try:
                    header = json.dumps(asdict(limits)).encode()
                    socket.send_fds(self.control, [header], [theirs.fileno()])
                except OSError:
                    return Outcome(b"", overflow=False, report=None)
            ours.setblocking(False)
            return _Conversation(self.control, ours, request, output_bytes).run(limits.wall_s + GRACE_S)

    def close(self) -> None:
        """Ends the fork server and whatever it runs."""
        with self.control, contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)  # reaches it even where a fork of the caller holds a copy
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Conversation:
    """Sends the request and collects the output until the fork server reports that the child is gone."""

    def __init__(self, control: socket.socket, data: socket.socket, request: bytes, output_bytes: int) -> None:
        self.control = control
        self.data = data
        self.unsent = memoryview(request)
        self.output = bytearray()
        self.output_bytes = output_bytes
        self.overflow = False
        self.poller = select.poll()
        self.poller.register(control, select.POLLIN)
        self.poller.register(data, select.POLLIN | select.POLLOUT)

    def run(self, timeout_s: float) -> Outcome:
        deadline_s = time.monotonic() + timeout_s
        report = None
        while report is None and (left_s := deadline_s - time.monotonic()) > 0:
            for descriptor, event in self.poller.poll(left_s * 1000):
                if descriptor == self.data.fileno():
                    self._move(event)
                    continue
                message = self._report()
                if not message:
                    return Outcome(bytes(self.output), self.overflow, None)
                report = Report(**json.loads(message))
        while report is not None and self._receive():
            pass
        return Outcome(bytes(self.output), self.overflow, report)

    def _report(self) -> bytes:
        with contextlib.suppress(ConnectionResetError):
            return self.control.recv(1 << 16)
        return b""

    def _move(self, event: int) -> None:
        if self.unsent and event & select.POLLOUT:
            self._send()
        if event & ~select.POLLOUT:
            self._receive()

    def _send(self) -> None:
        try:
            self.unsent = self.unsent[self.data.send(self.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.unsent = self.unsent[:0]
        if not self.unsent:
            self.poller.modify(self.data, select.POLLIN)
            with contextlib.suppress(OSError):
                self.data.shutdown(socket.SHUT_WR)

    def _receive(self) -> bool:
        """Whether more may come."""
        try:
            part = b"" if self.overflow else self.data.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            part = b""
        self.output += part
        if not self.overflow and len(self.output) > self.output_bytes:
            self.overflow = True
            self._cancel()
        if not part or self.overflow:
            self._stop_polling()
            return False
        return True

    def _cancel(self) -> None:
        with contextlib.suppress(OSError):
            self.control.send(b"cancel")

    def _stop_polling(self) -> None:
        with contextlib.suppress(KeyError):
            self.poller.unregister(self.data)
