"""The ways to run a program that the benchmark compares. Each says whether the program passed, and how long it took."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from benchmarks.peers import ANSWER, Job
from benchmarks.programs import Program
from clarify_rl.executor import Executor, Trial
from clarify_rl.executor.fork_server.server import PRELOADED
from clarify_rl.types import HiddenTests

CORES = len(os.sched_getaffinity(0))
# What the fork server itself needs beside what it loads for programs.
SERVER_MODULES = ("ctypes", "gc", "json", "platform", "pwd", "resource", "select", "signal", "socket", "struct")
# Reads how often to fork; writes the seconds that this took.
FORKER = """
import gc, importlib, os, sys, time
for name in sys.argv[1:]:
    importlib.import_module(name)
gc.collect()
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    for _ in range(int(line)):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    print(time.perf_counter() - start, flush=True)
"""
BUBBLEWRAP = "bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --unshare-all --die-with-parent".split()


class FailedError(Exception):
    """A correct program did not pass."""


class Way(Protocol):
    """One way to run programs. Everything that it starts ends with close()."""

    def once(self, program: Program) -> float:
        """The seconds that one program takes."""
        ...

    def all_at_once(self, programs: Sequence[Program]) -> float:
        """The seconds that all programs take together, several in flight."""
        ...

    def close(self) -> None: ...


class Ours:
    """The executor, with the tests as pairs or as assertions."""

    def __init__(self, executor: Executor, *, judge: bool = False) -> None:
        self.executor = executor
        self.judge = judge

    def once(self, program: Program) -> float:
        start_s = time.perf_counter()
        execution = self.executor.run(program.code, program.entry_point, self.tests(program))
        seconds = time.perf_counter() - start_s
        if not execution.solved:
            raise FailedError(f"{program.name}: {execution.verdict} {execution.detail}")
        return seconds

    def all_at_once(self, programs: Sequence[Program]) -> float:
        trials = [Trial(each.code, each.entry_point, self.tests(each)) for each in programs]
        start_s = time.perf_counter()
        executions = list(self.executor.run_all(trials))
        seconds = time.perf_counter() - start_s
        if not all(execution.solved for execution in executions):
            raise FailedError(f"{sum(not execution.solved for execution in executions)} programs")
        return seconds

    def tests(self, program: Program) -> HiddenTests:
        return program.judged if self.judge else program.pairs

    def close(self) -> None:
        self.executor.close()


class Command:
    """A new interpreter for each program, which gets program and tests in its arguments."""

    def __init__(self, prefix: Sequence[str] = (), flags: Sequence[str] = ("-I",)) -> None:
        self.command = [*prefix, sys.executable, *flags, "-c"]

    def once(self, program: Program) -> float:
        start_s = time.perf_counter()
        ended = subprocess.run([*self.command, f"{program.code}\n{program.script}"], stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start_s
        if ended.returncode:
            raise FailedError(program.name)
        return seconds

    def all_at_once(self, programs: Sequence[Program]) -> float:
        with ThreadPoolExecutor(CORES) as threads:
            start_s = time.perf_counter()
            list(threads.map(self.once, programs))
            return time.perf_counter() - start_s

    def close(self) -> None:
        return


class Peer:
    """A peer of peers.py in processes of its own: one for single programs, one for each core for many."""

    def __init__(self, name: str, parent_mb: int, folder: Path | None = None) -> None:
        self.helpers = [_PeerProcess(name, parent_mb, folder) for _ in range(CORES)]

    def once(self, program: Program) -> float:
        return self.helpers[0].run(program)

    def all_at_once(self, programs: Sequence[Program]) -> float:
        def share(number: int) -> None:
            for program in programs[number::CORES]:
                self.helpers[number].run(program)

        with ThreadPoolExecutor(CORES) as threads:
            start_s = time.perf_counter()
            list(threads.map(share, range(CORES)))
            return time.perf_counter() - start_s

    def close(self) -> None:
        for helper in self.helpers:
            helper.close()


class _PeerProcess:
    def __init__(self, name: str, parent_mb: int, folder: Path | None) -> None:
        given = [name, str(parent_mb), *([str(folder.resolve())] if folder else [])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers", *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.answer()

    def run(self, program: Program) -> float:
        assert self.process.stdin
        cases = program.pairs.cases
        inputs, expected = tuple(case.args for case in cases), tuple(case.expected for case in cases)
        pickle.dump(Job(program.code, program.entry_point, inputs, expected, program.script), self.process.stdin)
        self.process.stdin.flush()
        passed, seconds = self.answer()
        if not passed:
            raise FailedError(program.name)
        return seconds

    def answer(self) -> tuple[bool, float]:
        assert self.process.stdout
        passed, seconds = ANSWER.unpack(self.process.stdout.read(ANSWER.size))
        return bool(passed), float(seconds)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


class Floor:
    """Forks of a process that has loaded what the fork server loads; the child ends at once. Runs no program."""

    def __init__(self, forkers: int) -> None:
        self.forkers = [_forker() for _ in range(forkers)]

    def once(self, _program: Program) -> float:
        return self.fork(self.forkers[0], 1)

    def all_at_once(self, programs: Sequence[Program]) -> float:
        each = len(programs) // len(self.forkers)
        with ThreadPoolExecutor(len(self.forkers)) as threads:
            start_s = time.perf_counter()
            list(threads.map(lambda forker: self.fork(forker, each), self.forkers))
            took_s = time.perf_counter() - start_s
        return took_s * len(programs) / (each * len(self.forkers))

    def fork(self, forker: subprocess.Popen[str], times: int) -> float:
        assert forker.stdin and forker.stdout
        print(times, file=forker.stdin, flush=True)
        return float(forker.stdout.readline())

    def close(self) -> None:
        for forker in self.forkers:
            forker.communicate()


def _forker() -> subprocess.Popen[str]:
    command = [sys.executable, "-s", "-S", "-P", "-B", "-c", FORKER, *PRELOADED, *SERVER_MODULES]
    forker = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert forker.stdout
    forker.stdout.readline()
    return forker


def missing_peers(folder: Path | None) -> dict[str, str]:
    """Peers that cannot take part here, and why."""
    found = folder is not None and (folder / "evalplus").is_dir()
    missing: dict[str, str] = {}
    if not found and importlib.util.find_spec("evalplus") is None:
        missing["evalplus"] = "not installed; pip install --no-deps --target FOLDER evalplus, then --peers FOLDER"
    if shutil.which("bwrap") is None:
        missing["bubblewrap"] = "no command bwrap"
    return missing
