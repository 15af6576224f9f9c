"""Several seeds of one recipe: the difference between two checkpoints, with seeds as a second level of chance.

Seeds and problems are both drawn anew (a two-way bootstrap, Owen 2007, arXiv 0712.1111): the same problems were played
in every run, so a problem that is easy for one seed is easy for all. With two or three seeds the interval is rough: it
knows how far these seeds lie apart, not how far others might.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from clarify_rl.errors import DataError
from clarify_rl.evaluation.chance import Floats, Interval
from clarify_rl.evaluation.metrics import Group, Metric
from clarify_rl.evaluation.paired import by_problem, measured_pairs
from clarify_rl.types import Results


@dataclass(frozen=True)
class AcrossSeeds:
    """`after` minus `before` in points: of each seed, their mean and deviation (None: one seed), and the interval."""

    suite: str
    metric: Metric
    group: Group
    before: str
    after: str
    seeds: tuple[str, ...]
    by_seed: tuple[float, ...]
    mean: float
    deviation: float | None
    low: float
    high: float
    confidence: float


def across_seeds(
    pairs: Mapping[str, tuple[Results, Results]],
    *,
    metric: Metric = "solved",
    group: Group = "all",
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> AcrossSeeds | None:
    """The difference over the runs in `pairs`, each the results before and after, by the run's name.

    None where the group has no variant that every run measured. Raises DataError without a run.
    """
    if not pairs:
        raise DataError("No run to compare.")
    tables = [by_problem(measured_pairs(before, after, metric, group)) for before, after in pairs.values()]
    problems = sorted(set.intersection(*(set(table) for table in tables)))
    if not problems:
        return None
    sums = np.array([[sum(table[problem]) for problem in problems] for table in tables])
    sizes = np.array([[len(table[problem]) for problem in problems] for table in tables], dtype=np.float64)
    by_seed = tuple(float(100 * one.sum() / count.sum()) for one, count in zip(sums, sizes, strict=True))
    interval = _two_way(sums, sizes, seed, resamples, confidence)
    before, after = next(iter(pairs.values()))
    return AcrossSeeds(
        after.suite,
        metric,
        group,
        before.checkpoint,
        after.checkpoint,
        tuple(pairs),
        by_seed,
        fmean(by_seed),
        stdev(by_seed) if len(by_seed) > 1 else None,
        100 * interval.low,
        100 * interval.high,
        confidence,
    )


def _two_way(sums: Floats, sizes: Floats, seed: int, resamples: int, confidence: float) -> Interval:
    """The percentile interval of the mean; `sums` and `sizes` are (seeds, problems)."""
    rng = np.random.default_rng(seed)
    means: list[float] = []
    for _ in range(resamples):
        runs = rng.integers(len(sums), size=len(sums))
        problems = rng.integers(sums.shape[1], size=sums.shape[1])
        means.append(float(sums[runs][:, problems].sum() / sizes[runs][:, problems].sum()))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def sentence(found: AcrossSeeds) -> str:
    """For example: new_instances: rl - sft +13.6 points over 3 seeds (+9.2, +17.2, +14.5; 95% interval 7.0 to 20.0)."""
    what = "" if (found.metric, found.group) == ("solved", "all") else f" ({found.metric}, {found.group})"
    each = ", ".join(f"{points:+.1f}" for points in found.by_seed)
    return (
        f"{found.suite}{what}: {found.after} - {found.before} {found.mean:+.1f} points over {_many(found)} "
        f"({each}; {100 * found.confidence:g}% interval {found.low:+.1f} to {found.high:+.1f})"
    )


def _many(found: AcrossSeeds) -> str:
    return f"{len(found.seeds)} seeds" if len(found.seeds) > 1 else "one seed"


def pairs_of(
    results: Mapping[str, Sequence[Results]], suite: str, before: str, after: str
) -> dict[str, tuple[Results, Results]]:
    """The two checkpoints of every run on a suite. DataError where a run has one of them not."""
    found: dict[str, tuple[Results, Results]] = {}
    for run, played in results.items():
        here = {result.checkpoint: result for result in played if result.suite == suite}
        lacking = [name for name in (before, after) if name not in here]
        if lacking:
            raise DataError(
                f"{run} has no evaluation of {' and '.join(lacking)} on {suite}, and seeds need one recipe. "
                f"Finish it: clarify-rl eval {run}"
            )
        found[run] = (here[before], here[after])
    return found
