"""Comparison: what runs evaluated, as a table here, comparison.json and report.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clarify_rl.config import Config
from clarify_rl.errors import DataError, RunFolderError
from clarify_rl.evaluation.compare import Comparison, compare, to_json
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.evaluate import read_results
from clarify_rl.pipeline.terminal import console, say
from clarify_rl.report.html import write_report
from clarify_rl.report.table import print_comparison, print_summary
from clarify_rl.store import Run, write_atomically
from clarify_rl.types import Results


def compare_run(config: Config, run: Run, *, full: bool = False) -> Comparison:
    """Compares what a run evaluated: a summary here, comparison.json and report.html in its folder.

    `full` prints every table and difference instead.
    """
    _tell_what_is_left_out(config, run)
    comparison = _write_comparison(run.folder, read_results(config, run), run.read_metrics(), run.info())
    _tell(comparison, run.folder, f"clarify-rl compare {run.folder} --full", full=full)
    return comparison


def compare_runs(runs: Mapping[str, tuple[Config, Run]], out: Path, *, full: bool = False) -> Comparison:
    """Compares the checkpoints of several runs, named RUN/CHECKPOINT, and writes to `out`. They need equal suites."""
    for config, run in runs.values():
        _tell_what_is_left_out(config, run)
    results = [
        replace(result, checkpoint=f"{name}/{result.checkpoint}")
        for name, (config, run) in runs.items()
        for result in read_results(config, run)
    ]
    suites = list(dict.fromkeys(result.suite for result in results))
    _check_same_suites(results)
    metrics = [
        {**row, "stage": f"{name}/{row['stage']}"} for name, (_, run) in runs.items() for row in run.read_metrics()
    ]
    info = {f"{name}: {key}": value for name, (_, run) in runs.items() for key, value in run.info().items()}
    out.mkdir(parents=True, exist_ok=True)
    # Suite by suite, so that the checkpoints of all runs stand beside each other.
    comparison = _write_comparison(out, sorted(results, key=lambda result: suites.index(result.suite)), metrics, info)
    folders = " ".join(str(run.folder) for _, run in runs.values())
    _tell(comparison, out, f"clarify-rl compare {folders} --out {out} --full", full=full)
    return comparison


def _tell_what_is_left_out(config: Config, run: Run) -> None:
    """Names the checkpoints that a comparison cannot show. Raises RunFolderError when that is all of them."""
    missing = [name for name in checkpoints(config) if not run.is_done(f"eval-{name}")]
    if len(missing) == len(checkpoints(config)):
        raise RunFolderError(f"{run.folder} has no finished evaluation. First: clarify-rl eval {run.folder}")
    for name in missing:
        state = "evaluated" if checkpoints(config)[name] or run.is_done(name) else "trained"
        say(f"[yellow]{run.folder}: {name} is not {state} yet, so it is left out[/yellow]")


def _check_same_suites(results: Sequence[Results]) -> None:
    """Raises DataError unless every checkpoint was evaluated on the same variants of the same suites."""
    variants = {(result.suite, result.checkpoint): [e.variant.id for e in result.episodes] for result in results}
    names = dict.fromkeys(result.checkpoint for result in results)
    for suite in dict.fromkeys(result.suite for result in results):
        first = variants.get((suite, next(iter(names))))
        for name in names:
            own = variants.get((suite, name))
            if own is None or own != first:
                raise DataError(
                    f"{name} and {next(iter(names))} were not evaluated on the same variants of suite {suite!r} "
                    f"({len(own or ())} and {len(first or ())}). Compare runs with one eval.suites and one data."
                )


def _write_comparison(
    folder: Path, results: list[Results], metrics: Sequence[Mapping[str, float | int | str]], info: Mapping[str, str]
) -> Comparison:
    comparison = compare(results)
    write_atomically(folder / "comparison.json", to_json(comparison))
    write_report(folder / "report.html", comparison, results, metrics, info)
    return comparison


def _tell(comparison: Comparison, folder: Path, more: str, *, full: bool) -> None:
    if full:
        print_comparison(comparison, console)
    else:
        print_summary(comparison, console)
        say(f"Every table:          {more}")
    say(f"Read every dialogue:  [bold]{folder / 'report.html'}[/bold]")
