"""The executor that callers use: one program at a time, on a fork server that is started when first needed."""

from __future__ import annotations

import functools
import os
import threading
from types import TracebackType
from typing import Self

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.capabilities import Capabilities
from clarify_rl.executor.codec import dumps
from clarify_rl.executor.limits import Limits
from clarify_rl.executor.process import Outcome, ServerProcess
from clarify_rl.executor.scoring import expected_outcomes, plain_tree, score
from clarify_rl.types import Execution, Tests, Verdict

LONGEST_LINE = 4 << 10  # of what is not a result: an exception with its message
LITTLE_CPU = 0.5


class Executor:
    """Runs programs on hidden tests. It pickles as its limits: each process that receives it starts its own server."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._server: ServerProcess | None = None
        self._owner = 0
        self._closed = False
        self._lock = threading.Lock()

    def run(self, program: str, entry_point: str, tests: Tests) -> Execution:
        """The outcome of calling the program's entry point on every case. Only malformed tests raise."""
        _check_text(program, "program")
        _check_text(entry_point, "entry_point")
        expected = expected_outcomes(tests)
        request = dumps(
            {
                "program": program,
                "entry_point": entry_point,
                "compare": tests.compare,
                "inputs": [plain_tree(case.args, f"Input {i}") for i, case in enumerate(tests.cases)],
            }
        )
        output_bytes = self.limits.output_bytes + LONGEST_LINE * (len(tests.cases) + 1)
        with self._lock:
            execution = score(self._exchange(request, output_bytes), expected)
            if self._is_doubtful(execution):
                self._discard()
                execution = score(self._exchange(request, output_bytes), expected)
        return execution

    def _exchange(self, request: bytes, output_bytes: int) -> Outcome:
        had_server = self._owner == os.getpid()
        try:
            server = self._running_server()
        except (ExecutorError, OSError):
            if had_server and not self._closed:  # it worked here before: a failure of ours, not of the program
                return Outcome(b"", overflow=False, report=None)
            raise
        try:
            outcome = server.exchange(request, self.limits, output_bytes)
        except BaseException:  # the reply of an interrupted job must not reach the next one
            self._discard()
            raise
        if outcome.report is None:
            self._discard()
        return outcome

    def _is_doubtful(self, execution: Execution) -> bool:
        """Whether the machine, not the program, may have decided: such a job gets a second chance."""
        starved = execution.verdict is Verdict.WALL_TIMEOUT and execution.cpu_s < LITTLE_CPU * self.limits.cpu_s
        return starved or execution.verdict is Verdict.INFRASTRUCTURE

    def _running_server(self) -> ServerProcess:
        if self._closed:
            raise ExecutorError("This executor is closed; make a new one.")
        if self._server is not None and self._owner != os.getpid():  # inherited through a fork: not ours to use
            self._server.control.close()
            self._server = None
        if self._server is None:
            self._server = ServerProcess()
            self._owner = os.getpid()
        return self._server

    def _discard(self) -> None:
        server, self._server = self._server, None
        if server is not None and self._owner == os.getpid():
            server.close()

    @property
    def capabilities(self) -> Capabilities:
        """Which layers work on this machine; starts the fork server when it is not running."""
        with self._lock:
            return self._running_server().capabilities

    def close(self) -> None:
        """Ends the fork server and whatever it runs. May be called again."""
        with self._lock:
            self._closed = True
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Executor], tuple[Limits]]:
        return Executor, (self.limits,)


def _check_text(value: object, name: str) -> None:
    if not isinstance(value, str):
        raise ExecutorError(f"{name} must be text, found {type(value).__name__}.")


@functools.cache
def capabilities() -> Capabilities:
    """Which of the executor's layers work on this machine."""
    with Executor() as executor:
        return executor.capabilities
