"""Many mixed programs through one executor: nothing may grow, be left behind, or be scored wrongly.

    python benchmarks/soak.py --programs 20000 --kill-every 2

Right, wrong, crashing, greedy and hanging programs take turns at random, with every kind of test. With
--kill-every a fork server is killed now and then, as a machine that runs out of memory would.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from clarify_rl.executor import Executor, Limits
from clarify_rl.executor.traces import Witness
from clarify_rl.types import Assertions, Case, HiddenTests, Stdio, StdioCase, Tests, Verdict

INPUTS = (1, 2, 3, 7)
PAIRS = Tests(tuple(Case((n,), 2 * n) for n in INPUTS))
CHECKS = Assertions(tuple(f"assert candidate({n}) == {2 * n}" for n in INPUTS))
PRINTED = Stdio(tuple(StdioCase(f"{n}\n", f"{2 * n}\n") for n in INPUTS[:2]))
RIGHT = "def f(n):\n    return 2 * n\n"
READS = "print(2 * int(input()))\n"


@dataclass(frozen=True)
class Sort:
    """A program, the verdicts that are right for it, and how often it is drawn."""

    program: str
    verdicts: frozenset[Verdict]
    weight: float = 1.0
    stdio: bool = False


SORTS = (
    Sort(RIGHT, frozenset({Verdict.PASS}), 60),
    Sort(READS, frozenset({Verdict.PASS}), 10, stdio=True),
    Sort("def f(n):\n    return n\n", frozenset({Verdict.WRONG}), 10),
    Sort("def f(n):\n    return 1 / 0\n", frozenset({Verdict.ERROR}), 5),
    Sort("def f(n:\n", frozenset({Verdict.ERROR}), 3),
    Sort("import os\n\ndef f(n):\n    os._exit(0)\n", frozenset({Verdict.DIED}), 3),
    Sort("import ctypes\n\ndef f(n):\n    ctypes.string_at(0)\n", frozenset({Verdict.DIED}), 1),
    Sort("def f(n):\n    return [0] * 10**9\n", frozenset({Verdict.MEMORY}), 2),
    Sort("def f(n):\n    return 'x' * (3 << 20)\n", frozenset({Verdict.WRONG}), 2),
    Sort("def f(n):\n    while True:\n        pass\n", frozenset({Verdict.CPU_TIMEOUT}), 0.4),
    Sort("import threading\n\n" + RIGHT + "threading.Thread(target=threading.Event().wait, daemon=True).start()\n",
         frozenset({Verdict.PASS}), 3),
)  # fmt: skip


def main() -> None:
    """Runs the programs, prints what grew, and exits with 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=20_000)
    parser.add_argument("--servers", type=int, default=None, help="fork servers (default: by the processors)")
    parser.add_argument("--kill-every", type=float, default=0.0, help="seconds between kills of a fork server")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    witness = Witness([sort.program for sort in SORTS])
    wrong: Counter[str] = Counter()
    unmeasured = 0
    sizes: list[tuple[int, int, int]] = []
    started_s = time.monotonic()
    with (
        Executor(Limits(cpu_s=0.3, memory_mb=256), servers=arguments.servers) as executor,
        _killer(executor, arguments),
    ):
        for done, (sort, verdict) in enumerate(_outcomes(executor, arguments.programs, arguments.seed)):
            if verdict is Verdict.INFRASTRUCTURE and arguments.kill_every:
                unmeasured += 1
            elif verdict not in sort.verdicts:
                wrong[f"{verdict} for {sort.program!r}"] += 1
            if done % max(1, arguments.programs // 20) == 0:
                witness.look()
                sizes.append(_size())
    seconds = time.monotonic() - started_s
    left = witness.left_behind()
    print(f"{arguments.programs} programs in {seconds:.0f} s, {arguments.programs / seconds:.0f} a second")
    print("of this process: MiB, descriptors, threads")
    for size in (sizes[1], sizes[len(sizes) // 2], sizes[-1]):
        print("  ", *size)
    print("left behind:", "; ".join(left) or "nothing")
    print(f"unmeasured, because a fork server was killed under it three times: {unmeasured}")
    print("scored wrongly:", "; ".join(f"{times} x {what}" for what, times in wrong.items()) or "none")
    sys.exit(bool(left or wrong))


def _outcomes(executor: Executor, programs: int, seed: int) -> Iterator[tuple[Sort, Verdict]]:
    chance = random.Random(seed)
    drawn = chance.choices(SORTS, [sort.weight for sort in SORTS], k=programs)
    kinds: list[HiddenTests] = [PRINTED if sort.stdio else chance.choice((PAIRS, PAIRS, CHECKS)) for sort in drawn]
    with ThreadPoolExecutor(executor.most_servers) as threads:
        results = threads.map(lambda each: executor.run(each[0].program, "f", each[1]), zip(drawn, kinds, strict=True))
        for sort, execution in zip(drawn, tqdm(results, total=programs, unit="program"), strict=True):
            yield sort, execution.verdict


class _killer:  # noqa: N801 - used like a function
    """Kills a fork server every few seconds while the block runs."""

    def __init__(self, executor: Executor, arguments: argparse.Namespace) -> None:
        self.executor, self.seconds = executor, arguments.kill_every
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.kill)

    def kill(self) -> None:
        while not self.over.wait(self.seconds):
            for pid in self.executor.server_pids[:1]:
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> None:
        if self.seconds:
            self.thread.start()

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        if self.seconds:
            self.thread.join()


def _size() -> tuple[int, int, int]:
    """MiB of memory, open descriptors and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") >> 20,
        len(list(Path("/proc/self/fd").iterdir())),
        threading.active_count(),
    )


if __name__ == "__main__":
    main()
