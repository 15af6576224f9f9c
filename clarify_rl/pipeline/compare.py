"""Comparison: what runs evaluated, as a table here, comparison.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.markup import escape

from clarify_rl.config import Config
from clarify_rl.config_files import to_yaml
from clarify_rl.errors import DataError, RunFolderError
from clarify_rl.evaluation.compare import Comparison, compare, to_json
from clarify_rl.evaluation.grades import Grades
from clarify_rl.evaluation.metrics import Group, Metric
from clarify_rl.evaluation.require import Demand, Ruling, judge
from clarify_rl.evaluation.seeds import AcrossSeeds, across_seeds, pairs_of, sentence
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.evaluate import read_results, to_play
from clarify_rl.pipeline.graded import read_grades
from clarify_rl.pipeline.terminal import console, say
from clarify_rl.pipeline.training_page import write_training_page
from clarify_rl.report.exports import to_csv, to_markdown
from clarify_rl.report.html import write_report
from clarify_rl.report.table import print_comparison, print_summary
from clarify_rl.store import Run, write_atomically
from clarify_rl.types import Results

_OVER_SEEDS: tuple[tuple[Metric, Group], ...] = (
    ("solved", "all"),
    ("solved", "unclear"),
    ("asked", "unclear"),
    ("asked", "clear"),
)


@dataclass(frozen=True)
class Compared:
    """A comparison, and what became of the demands on it."""

    comparison: Comparison
    rulings: tuple[Ruling, ...] = ()

    @property
    def holds(self) -> bool:
        return all(ruling.holds for ruling in self.rulings)


def compare_run(config: Config, run: Run, *, full: bool = False, demands: Sequence[Demand] = ()) -> Compared:
    """Compares what a run evaluated: a summary here, comparison.json and report.html in its folder.

    `full` prints every table and difference instead.
    """
    _tell_what_is_left_out(config, run)
    results = read_results(config, run)
    comparison = _write_comparison(run.folder, results, run.read_metrics(), _about(config, run), _grades(run, results))
    training = write_training_page(config, run)
    _tell(comparison, run.folder, f"clarify-rl compare {run.folder} --full", full=full)
    if training:
        say(f"Those of training:    [bold]{training}[/bold]")
    return Compared(comparison, _judged(demands, results))


def _about(config: Config, run: Run) -> dict[str, str]:
    """How a run was made, for its report: what it says of itself, its seed, its times, and its whole configuration."""
    times = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in run.seconds().items())
    return {**run.info(), "seed": str(config.seed), "stages": times, "config.yaml": to_yaml(config)}


def _grades(run: Run, results: Sequence[Results]) -> Grades:
    """What a judge said of the first replies, where one was asked."""
    return {
        (result.checkpoint, result.suite, name): grade
        for result in results
        for name, grade in read_grades(run, result.checkpoint, result.suite).items()
    }


def _judged(demands: Sequence[Demand], results: Sequence[Results]) -> tuple[Ruling, ...]:
    rulings = tuple(judge(wanted, results) for wanted in demands)
    for ruling in rulings:
        say(f"[{'green' if ruling.holds else 'red'}]{escape(ruling.sentence())}[/]")
    return rulings


def compare_runs(
    runs: Mapping[str, tuple[Config, Run]], out: Path, *, full: bool = False, demands: Sequence[Demand] = ()
) -> Compared:
    """Compares the checkpoints of several runs, named RUN/CHECKPOINT, on what they share, and writes to `out`."""
    for config, run in runs.values():
        _tell_what_is_left_out(config, run)
    results = [
        replace(result, checkpoint=f"{name}/{result.checkpoint}")
        for name, (config, run) in runs.items()
        for result in read_results(config, run)
    ]
    results = _shared(results)
    suites = list(dict.fromkeys(result.suite for result in results))
    metrics = [
        {**row, "stage": f"{name}/{row['stage']}"} for name, (_, run) in runs.items() for row in run.read_metrics()
    ]
    info = {f"{name}: {key}": value for name, of in runs.items() for key, value in _about(*of).items()}
    out.mkdir(parents=True, exist_ok=True)
    # Suite by suite, so that the checkpoints of all runs stand beside each other.
    results.sort(key=lambda result: suites.index(result.suite))
    comparison = _write_comparison(out, results, metrics, info)
    folders = " ".join(str(run.folder) for _, run in runs.values())
    _tell(comparison, out, f"clarify-rl compare {folders} --out {out} --full", full=full)
    return Compared(comparison, _judged(demands, results))


def compare_seeds(runs: Mapping[str, tuple[Config, Run]], out: Path | None = None) -> list[AcrossSeeds]:
    """The last checkpoint of one recipe against those before it, over runs that differ in their seed.

    Prints a sentence for each suite and what was compared; with `out` writes seeds.json there.
    """
    results = {str(run.folder): read_results(config, run) for config, run in runs.values()}
    first = next(iter(results.values()))
    names = list(dict.fromkeys(result.checkpoint for result in first))
    found = []
    for suite in dict.fromkeys(result.suite for result in first):
        for before in names[:-1]:
            pairs = pairs_of(results, suite, before, names[-1])
            for metric, group in _OVER_SEEDS:
                if one := across_seeds(pairs, metric=metric, group=group):
                    found.append(one)
                    say(sentence(one))
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "seeds.json", json.dumps([asdict(one) for one in found], indent=2) + "\n")
    return found


def _tell_what_is_left_out(config: Config, run: Run) -> None:
    """Names the checkpoints that a comparison cannot show. Raises RunFolderError when that is all of them."""
    missing = [name for name in checkpoints(config) if to_play(config, run, name) == list(config.suites)]
    if len(missing) == len(checkpoints(config)):
        raise RunFolderError(f"{run.folder} has no finished evaluation. First: clarify-rl eval {run.folder}")
    for name in missing:
        state = "evaluated" if checkpoints(config)[name] or run.is_done(name) else "trained"
        say(f"[yellow]{run.folder}: {name} is not {state} yet, so it is left out[/yellow]")


def _shared(results: Sequence[Results]) -> list[Results]:
    """What every checkpoint was evaluated on, suite by suite; what is left out is said. DataError where that is all."""
    names = list(dict.fromkeys(result.checkpoint for result in results))
    by_suite = {suite: [r for r in results if r.suite == suite] for suite in dict.fromkeys(r.suite for r in results)}
    shared: list[Results] = []
    for suite, played in by_suite.items():
        if len(played) < len(names):
            lacking = [name for name in names if name not in {result.checkpoint for result in played}]
            say(f"[yellow]{escape(suite)} is left out: {escape(', '.join(lacking))} was not evaluated on it[/yellow]")
            continue
        common = set.intersection(*({episode.variant.id for episode in result.episodes} for result in played))
        most = max(len(result.episodes) for result in played)
        if not common:
            say(f"[yellow]{escape(suite)} is left out: its variants are others in each run[/yellow]")
            continue
        if len(common) < most:
            say(f"[yellow]{escape(suite)}: the {len(common)} variants of {most} that all have are compared[/yellow]")
        shared += [_only(result, common) for result in played]
    if not shared:
        raise DataError(
            f"{names[0]} and {names[-1]} were evaluated on no variant in common. Compare runs of one data, or evaluate "
            "them on one more suite: clarify-rl eval RUN --suite HumanEvalComm.jsonl"
        )
    return shared


def _only(result: Results, variants: Collection[str]) -> Results:
    return replace(result, episodes=tuple(e for e in result.episodes if e.variant.id in variants))


def _write_comparison(
    folder: Path,
    results: list[Results],
    metrics: Sequence[Mapping[str, float | int | str]],
    info: Mapping[str, str],
    grades: Grades | None = None,
) -> Comparison:
    comparison = compare(results)
    write_atomically(folder / "comparison.json", to_json(comparison))
    write_atomically(folder / "comparison.md", to_markdown(comparison))
    write_atomically(folder / "comparison.csv", to_csv(comparison))
    write_report(folder / "report.html", comparison, results, metrics, info, grades)
    return comparison


def _tell(comparison: Comparison, folder: Path, more: str, *, full: bool) -> None:
    if full:
        print_comparison(comparison, console)
    else:
        print_summary(comparison, console)
        say(f"Every table:          {more}")
    say(f"Read every dialogue:  [bold]{folder / 'report.html'}[/bold]")
