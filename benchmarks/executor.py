"""How long one program takes on the executor, beside a new interpreter for each program and the bare cost of a fork.

    python benchmarks/executor.py --runs 200

The three take turns, so that a busy machine slows all alike: compare the ratios, not the milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from clarify_rl.executor import Executor, capabilities
from clarify_rl.executor.server import PRELOADED
from clarify_rl.types import Case, Tests

PROGRAM = "def f(n):\n    return sum(p for p in range(2, n + 1) if all(p % q for q in range(2, p)))\n"
ANSWERS = {0: 0, 2: 2, 5: 10, 10: 17, 11: 28, 20: 77, 30: 129, 40: 197, 50: 328, 60: 440}
TESTS = Tests(tuple(Case((n,), total) for n, total in ANSWERS.items()))
# Times a fork and exit of a process that has loaded what the fork server loads, once for each line that it reads.
FORKER = """
import importlib, os, sys, time
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    print(time.perf_counter() - start, flush=True)
"""


def main() -> None:
    """Prints the medians and ratios."""
    parser = argparse.ArgumentParser(
        description="Time one small program with ten tests on the executor, against other ways to run it.",
        epilog="example: python benchmarks/executor.py --runs 200",
    )
    parser.add_argument("--runs", type=int, default=100, help="how often each way runs (default 100)")
    runs: int = parser.parse_args().runs
    print(f"{runs} runs of each, on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {capabilities().summary}")
    medians_ms = {name: 1000 * statistics.median(times) for name, times in measure(runs).items()}
    ours_ms = medians_ms["executor"]
    for name, median_ms in medians_ms.items():
        print(f"{name:30} {median_ms:8.2f} ms {median_ms / ours_ms:8.2f} x executor")


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds of every run, by the way it ran."""
    command = [sys.executable, "-s", "-S", "-P", "-c", FORKER, *PRELOADED]
    forks = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with Executor() as executor, forks as forker:
        ways: dict[str, Callable[[], float]] = {
            "bare fork and exit": lambda: _fork(forker),
            "executor": lambda: _timed(lambda: _run(executor)),
            "new interpreter (python -I)": lambda: _timed(_new_interpreter),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(3):  # the first runs build what later ones reuse
            _run(executor)
            _fork(forker)
        for _ in range(runs):
            for name, way in ways.items():
                seconds[name].append(way())
    return seconds


def _timed(act: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    act()
    return time.perf_counter() - start_s


def _run(executor: Executor) -> None:
    execution = executor.run(PROGRAM, "f", TESTS)
    if not execution.solved:
        raise SystemExit(f"The reference program failed: {execution}")


def _new_interpreter() -> None:
    checks = "".join(f"assert f({n}) == {total}\n" for n, total in ANSWERS.items())
    subprocess.run([sys.executable, "-I", "-c", PROGRAM + checks], check=True)


def _fork(forker: subprocess.Popen[str]) -> float:
    assert forker.stdin and forker.stdout
    forker.stdin.write("\n")
    forker.stdin.flush()
    return float(forker.stdout.readline())


if __name__ == "__main__":
    main()
