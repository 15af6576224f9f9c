"""Whether `clarify-rl data make` keeps its memory flat over many problems, and what a second worker brings.

    python -m benchmarks.make_scale --problems 10000

The problems are made up: small functions with constants of their own, in which edits find facts. First, equal parts of
them are made with one worker and with two, turn about; then all of them, while the memory of this process is measured.
them are made with one worker and with two, turn about; then all, while the memory of this process is measured.
files of one worker and of two differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from clarify_rl.executor import Executor, Limits
from clarify_rl.pipeline.make import CPU_S, make
from clarify_rl.problems.rows import Rows
from clarify_rl.types import Problem, Skipped

KINDS = (
    ("find the numbers of a list that are above {n}", "[x for x in items if x > {n}]"),
    ("find the mean of a list of numbers, each less {n}", "sum(x - {n} for x in items) / len(items)"),
    ("check whether a list holds the number {n}", "{n} in items"),
    ("get the numbers of a list that leave no rest when divided by {n}", "[x for x in items if x % {n} == 0]"),
    ("find the sum of a list and {n}", "sum(items) + {n}"),
)


class Counted:
    """The problems of a file, with the memory of this process noted as they are read."""

    def __init__(self, path: Path) -> None:
        self.source, self.memory_mb = Rows(str(path)), list[float]()

    def read(self) -> Iterator[Problem | Skipped]:
        for number, item in enumerate(self.source.read()):
            if number % 100 == 0:
                self.memory_mb.append(resident_mb())
            yield item


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_scale", description=__doc__.split("\n\n")[0])
    parser.add_argument("--problems", type=int, default=10_000, metavar="N", help="in all (default 10000)")
    parser.add_argument("--timed", type=int, default=200, metavar="N", help="for one and two workers (default 200)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="of each, turn about (default 3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ratio, same = workers_compared(folder, arguments.timed, arguments.runs)
        growth = memory_over(folder, arguments.problems)
    return 0 if growth < 1.1 and ratio < 1.0 and same else 1


def workers_compared(folder: Path, count: int, runs: int) -> tuple[float, bool]:
    """The time with two workers as a share of that with one, and whether both write the same file."""
    path = problems(folder / "timed.jsonl", count)
    times: dict[int, list[float]] = {1: [], 2: []}
    files = set()
    for run in range(runs):
        for workers in times:
            out = folder / f"timed-{workers}-{run}.jsonl"
            start_s = time.perf_counter()
            made(Counted(path), out, workers)
            times[workers].append(time.perf_counter() - start_s)
            files.add(out.read_bytes())
    ratio = median(times[2]) / median(times[1])
    same = "the same file each time" if len(files) == 1 else "DIFFERENT FILES"
    print(f"{count} problems: two workers take {ratio:.2f} of the time of one; {same}")
    return ratio, len(files) == 1


def memory_over(folder: Path, count: int) -> float:
    """The most memory behind the first tenth, as a share of the most within it."""
    counted = Counted(problems(folder / "all.jsonl", count))
    variants = made(counted, folder / "made.jsonl", None)
    first = max(1, len(counted.memory_mb) // 10)
    before, after = max(counted.memory_mb[:first]), max(counted.memory_mb[first:] or counted.memory_mb)
    print(
        f"{count} problems: {variants} variants; memory at most {before:.0f} MiB in the first tenth, {after:.0f} MiB "
        f"behind it ({after / before:.2f}x), {counted.memory_mb[-1]:.0f} MiB at the end"
    )
    return after / before


def problems(path: Path, count: int) -> Path:
    """A file of `count` different problems."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            says, does = KINDS[number % len(KINDS)]
            n = 2 + number // len(KINDS)
            name, body = f"f{number}", does.format(n=n)
            inputs = [[n, 1, n + 3, n + 1], [2 * n, n + 5, n], [n - 1, n + 7, n + 7, n + 2]]
            tests = [[[items], eval(body, {"items": items})] for items in inputs]  # our own text
            row = {
                "id": str(number),
                "statement": f"Write a function to {says.format(n=n)}. Call it {name}(items).",
                "entry_point": name,
                "solution": f"def {name}(items):\n    return {body}\n",
                "tests": tests,
            }
            file.write(json.dumps(row) + "\n")
    return path


def made(source: Counted, out: Path, workers: int | None) -> int:
    """The number of variants that were made."""
    with Executor(Limits(cpu_s=CPU_S), servers=workers) as executor:
        return make([source], [], executor, out).variants


def resident_mb() -> float:
    """The memory that this process holds."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    sys.exit(main())
