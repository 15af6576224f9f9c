"""What other settings of the RL stage do, each from the same SFT checkpoints, for several seeds.

    python -m benchmarks.rl_settings demo --seeds 0 1 2 --setting grpo --setting "ppo rl.algorithm=ppo" --jobs 8

The first word of a setting is its name, the rest is key=value; --common is for all of them. For each seed the data, the
SFT checkpoint and its evaluation are made once, and every setting goes on from there in a run folder of its own. Called
again, it goes on where it was: a run that was cut short is resumed. Each job has processor cores of its own. A second
table compares each setting with the first, paired by problem and seed. With rl.evaluation.every a third tells how often
each policy asked about the same held-out problems as training went on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Queue
from statistics import fmean

from tqdm import tqdm

from benchmarks.demo_table import difference, share
from clarify_rl.config_files import load_config, saved_config, to_yaml
from clarify_rl.errors import ConfigError
from clarify_rl.evaluation.seeds import AcrossSeeds, across_seeds
from clarify_rl.pipeline.evaluate import finished_results
from clarify_rl.pipeline.plan import require_heavy
from clarify_rl.store import Run, read_rows
from clarify_rl.types import Results

COMMAND = (sys.executable, "-m", "clarify_rl")
START = "start"
WINDOW = 5  # steps over which the ask rate is averaged: a batch holds some ninety unclear variants


@dataclass(frozen=True)
class Setting:
    """A name and what it changes."""

    name: str
    overrides: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Setting:
        name, *overrides = text.split()
        return cls(name, tuple(overrides))


@dataclass(frozen=True)
class Job:
    """One run: a configuration, what it changes, and where."""

    config: str
    seed: int
    setting: Setting
    folder: Path
    common: tuple[str, ...] = ()

    @property
    def run_folder(self) -> Path:
        return self.folder / f"{self.setting.name}-{self.seed}"

    @property
    def wanted(self) -> list[str]:
        return [self.config, f"seed={self.seed}", f"out={self.run_folder}", *self.common, *self.setting.overrides]


def main() -> None:
    """Runs what is not done yet, then prints the table."""
    arguments = _arguments()
    folder, seeds = arguments.folder, arguments.seeds
    settings = [Setting.parse(text) for text in arguments.setting]
    job_of = partial(Job, arguments.config, folder=folder, common=tuple(arguments.common))
    starts = [job_of(seed, Setting(START, ("rl=null",))) for seed in seeds]
    jobs = [job_of(seed, setting) for setting in settings for seed in seeds]
    for job in jobs:
        if job.seed == seeds[0]:  # the seed changes no option
            _check(job)
    in_parallel(starts, _run, arguments.jobs, "SFT")
    in_parallel(jobs, _run_setting, arguments.jobs, "RL")
    rows = table(jobs, arguments.suite, arguments.clear_suite)
    compared = against_first(read_finals(jobs, arguments.suite, arguments.clear_suite))
    print("\n".join([*rows, "", *compared, "", *held_out_table(jobs)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--setting", action="append", required=True, help="a name, then key=value ...")
    parser.add_argument("--common", nargs="+", default=[], metavar="KEY=VALUE", help="for all settings, and for SFT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--folder", type=Path, default=Path("runs/settings"))
    parser.add_argument("--suite", default="new_instances")
    parser.add_argument("--clear-suite", default="clear_instances")
    return parser.parse_args()


def in_parallel(jobs: Sequence[Job], run: Callable[[Job], None], at_a_time: int, what: str) -> None:
    """Runs jobs side by side; ends with the first that fails."""
    cores: Queue[set[int]] = Queue()
    own = sorted(os.sched_getaffinity(0))
    for number in range(at_a_time):
        cores.put(set(own[number::at_a_time]) or {own[number % len(own)]})

    def pinned(job: Job) -> None:
        mine = cores.get()
        try:
            os.sched_setaffinity(0, mine)  # this thread's, which its child processes take over
            run(job)
        finally:
            cores.put(mine)

    with ThreadPoolExecutor(at_a_time) as threads, tqdm(total=len(jobs), desc=what, unit="run") as bar:
        for _ in threads.map(pinned, jobs):
            bar.update()


def _check(job: Job) -> None:
    """Ends here, before hours of training, for a setting that could not be trained or has no RL stage."""
    try:
        config = load_config(job.config, job.wanted[1:])
        if config.rl is None:
            raise ConfigError("it has no RL stage.")
        require_heavy(config)
    except ConfigError as error:
        sys.exit(f"{job.setting.name}: {error}")


def _run_setting(job: Job) -> None:
    if not (job.run_folder / "config.yaml").exists():
        _copy_start(replace(job, setting=Setting(START, ())).run_folder, job)
    _run(job)


def _copy_start(start: Path, job: Job) -> None:
    """A run folder that has come as far as the SFT checkpoint."""
    config = load_config(job.config, job.wanted[1:])
    target = job.run_folder
    shutil.rmtree(target, ignore_errors=True)  # half a copy
    target.mkdir(parents=True)
    for name in ("data", "models", "episodes"):
        shutil.copytree(start / name, target / name)
    (target / "stages").mkdir()
    evaluated = (start / "stages").glob("eval-*.json")
    for mark in (start / "stages" / "sft.json", *evaluated):  # the data of RL are still to be made
        shutil.copy(mark, target / "stages")
    shutil.copy(start / "metrics.jsonl", target)
    Run.create(target, to_yaml(config), (*COMMAND, "run", *job.wanted)).close()


def _run(job: Job) -> None:
    """The rest of a run, with its output in a file beside it."""
    resume = ["--resume"] if (job.run_folder / "config.yaml").exists() else []
    log = job.folder / f"{job.run_folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("a") as output:
        done = subprocess.run([*COMMAND, "run", *job.wanted, *resume], stdout=output, stderr=output, check=False)
    if done.returncode:
        raise SystemExit(f"{job.run_folder.name} failed with {done.returncode}; its last words are in {log}.")
    tqdm.write(f"{job.run_folder.name}: {time.monotonic() - started:.0f} s")


def table(jobs: Sequence[Job], suite: str, clear_suite: str) -> list[str]:
    """One row a run, in Markdown: what it solves against SFT, and how often it asks, at the end and in training."""
    rows = [
        "| setting | seed | SFT solved | RL solved | RL - SFT, points (95%) | ask-recall SFT, RL | false-ask SFT, RL "
        "| asked in training: first, lowest, last | stage, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return rows + [row(job, suite, clear_suite) for job in jobs]


def row(job: Job, suite: str, clear_suite: str) -> str:
    comparison = json.loads((job.run_folder / "comparison.json").read_text())
    of = partial(share, comparison)
    seconds = json.loads((job.run_folder / "stages" / "rl.json").read_text())["seconds"]
    cells = [
        job.setting.name,
        str(job.seed),
        of("sft", suite, "all", "solved"),
        of("rl", suite, "all", "solved"),
        difference(comparison, suite),
        f"{of('sft', suite, 'unclear', 'asked')}, {of('rl', suite, 'unclear', 'asked')}",
        f"{of('sft', clear_suite, 'clear', 'asked')}, {of('rl', clear_suite, 'clear', 'asked')}",
        ", ".join(f"{100 * value:.0f}" for value in asked(list(read_rows(job.run_folder / "metrics.jsonl")))),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


Final = tuple[Results, Results]  # what RL's checkpoint did on the suite, and on the one of clear variants


def read_finals(jobs: Sequence[Job], suite: str, clear_suite: str) -> dict[str, dict[int, Final]]:
    """By setting and seed."""
    finals: dict[str, dict[int, Final]] = {}
    for job in jobs:
        with Run(job.run_folder) as run:
            results = finished_results(saved_config(job.run_folder), run)
        by_suite = {result.suite: result for result in results if result.checkpoint == "rl"}
        finals.setdefault(job.setting.name, {})[job.seed] = by_suite[suite], by_suite[clear_suite]
    return finals


def against_first(finals: Mapping[str, Mapping[int, Final]]) -> list[str]:
    """One row a setting, in Markdown: RL's checkpoint over all seeds, minus that of the first setting, in points.

    Intervals draw seeds and problems (evaluation/seeds.py).
    """
    (first, base), *others = finals.items()
    rows = [
        f"| setting | solved, minus {first} (95%) | each seed | asked in unclear ones | asked in clear ones "
        "| questions each |",
        "|---|---|---|---|---|---|",
        f"| {first} |  |  |  |  | {_questions_each(base):.2f} |",
    ]
    for name, by_seed in others:
        new, clear = ({str(seed): (base[seed][place], by_seed[seed][place]) for seed in by_seed} for place in (0, 1))
        found = [
            across_seeds(new),
            across_seeds(new, metric="asked", group="unclear"),
            across_seeds(clear, metric="asked", group="clear"),
        ]
        solved, *asking = ["" if one is None else _over_seeds(one) for one in found]
        each = ", ".join(f"{points:+.1f}" for points in found[0].by_seed) if found[0] else ""
        rows.append(f"| {' | '.join([name, solved, each, *asking, f'{_questions_each(by_seed):.2f}'])} |")
    return rows


def _questions_each(by_seed: Mapping[int, Final]) -> float:
    return fmean(len(episode.questions) for played, _ in by_seed.values() for episode in played.episodes)


def _over_seeds(found: AcrossSeeds) -> str:
    return f"{found.mean:+.1f} ({found.low:.1f} to {found.high:.1f})"


def held_out_table(jobs: Sequence[Job]) -> list[str]:
    """One row for each run with held-out evaluations, in Markdown: ask-recall in percent, first SFT's.

    All evaluations of a run play the same variants, greedily.
    """
    curves = {job: asked_held_out(list(read_rows(job.run_folder / "metrics.jsonl"))) for job in jobs}
    steps = sorted({step for curve in curves.values() for step in curve if step})
    head = ["setting", "seed", "SFT", *(f"step {step}" for step in steps)]
    lines = [head, ["---"] * len(head)]
    for job, curve in curves.items():
        if curve:
            values = [f"{100 * curve[step]:.0f}" if step in curve else "" for step in (0, *steps)]
            lines.append([job.setting.name, str(job.seed), *values])
    return [f"| {' | '.join(line)} |" for line in lines] if steps else []


def asked_held_out(rows: Sequence[Mapping[str, object]]) -> dict[int, float]:
    """By step, the share of unclear held-out variants that were asked about; before the first step it is SFT's."""
    name = "eval/asked_unclear"
    return {int(str(row["step"])): float(str(row[name])) for row in rows if row["stage"] == "rl" and name in row}


def asked(rows: Sequence[Mapping[str, object]]) -> tuple[float, float, float]:
    """The share of unclear variants that were asked about: in the first steps, at its lowest, and in the last steps."""
    known = [row["episode/asked_unclear"] for row in rows if row["stage"] == "rl" and "episode/asked_unclear" in row]
    shares = [float(str(value)) for value in known]
    means = [sum(shares[i : i + WINDOW]) / WINDOW for i in range(max(1, len(shares) - WINDOW + 1))]
    return means[0], min(means), means[-1]


if __name__ == "__main__":
    main()
