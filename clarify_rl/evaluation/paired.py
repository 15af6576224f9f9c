"""Two checkpoints on the same variants: the difference, a bootstrap interval, and how likely it is by chance.

Interval and p go by problems, not variants: variants of one problem succeed and fail together, and whatever ignored
this would be too sure. McNemar's exact test, which people know, has no such correction and stands beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from clarify_rl.errors import DataError
from clarify_rl.evaluation.chance import Interval, bootstrap_interval, mcnemar_p, sign_flip_p
from clarify_rl.evaluation.metrics import MEASURES, Group, Metric, group_names
from clarify_rl.types import Episode, Results


@dataclass(frozen=True)
class McNemar:
    """Pairs in which only one of the two succeeded, and how likely so uneven a split is if both are equally good."""

    won: int
    lost: int
    p: float


@dataclass(frozen=True)
class PairedDifference:
    """`after` minus `before`, in points, over the pairs in which both could be measured.

    `missing` counts variants that only one of the two has, `unmeasured` pairs that a failure spoiled; `low` and `high`
    are None with fewer than two problems; `mcnemar` is None for a metric that is not yes or no, and where a variant has
    several episodes, whose mean then stands for it. `p`: how likely so
    large a difference is where it is chance which of the two did better on a problem; `holm` the same, corrected for
    all pairs of checkpoints on this suite. `detectable`: the difference, in points, that so many variants would show
    four times out of five; twice as fine takes four times as many.
    """

    suite: str
    metric: Metric
    group: Group
    before: str
    after: str
    points: float | None
    low: float | None
    high: float | None
    confidence: float
    pairs: int
    problems: int
    missing: int
    unmeasured: int
    mcnemar: McNemar | None
    p: float | None = None
    holm: float | None = None
    detectable: float | None = None


@dataclass(frozen=True)
class MeasuredPair:
    """What both checkpoints measured of one variant."""

    problem: str
    before: float
    after: float
    is_binary: bool = True


def paired_difference(
    a: Results,
    b: Results,
    *,
    seed: int,
    resamples: int = 10_000,
    confidence: float = 0.95,
    metric: Metric = "solved",
    group: Group = "all",
    same_prompts: bool = True,
) -> PairedDifference:
    """How much more often `b` does it than `a`, paired by variant id, within a group of variants.

    DataError where they share no variant, or (`same_prompts`) were shown different prompts for one.
    """
    _check_comparable(a, b, same_prompts)
    before, after = _by_variant(a, group), _by_variant(b, group)
    pairs = _measured(before, after, metric)
    differences = list(by_problem(pairs).values())
    interval = bootstrap_interval(differences, seed=seed, resamples=resamples, confidence=confidence)
    return PairedDifference(
        suite=b.suite,
        metric=metric,
        group=group,
        before=a.checkpoint,
        after=b.checkpoint,
        points=100 * sum(map(sum, differences)) / len(pairs) if pairs else None,
        low=100 * interval.low if interval else None,
        high=100 * interval.high if interval else None,
        confidence=confidence,
        pairs=len(pairs),
        problems=len(differences),
        missing=len(before.keys() ^ after.keys()),
        unmeasured=len(before.keys() & after.keys()) - len(pairs),
        mcnemar=_mcnemar(pairs) if pairs and all(pair.is_binary for pair in pairs) and metric != "pass_rate" else None,
        p=sign_flip_p(differences, seed=seed, flips=resamples),
        detectable=_detectable(interval, confidence),
    )


POWER = 0.8


def _detectable(interval: Interval | None, confidence: float) -> float | None:
    """Points that would be found with POWER, by the width of the interval, in which clusters are accounted for."""
    if interval is None:
        return None
    normal = NormalDist()
    z = normal.inv_cdf((1 + confidence) / 2)
    standard_error = (interval.high - interval.low) / (2 * z)
    return 100 * (z + normal.inv_cdf(POWER)) * standard_error


Episodes = Mapping[str, Sequence[Episode]]  # by the id of their variant


def _by_variant(results: Results, group: Group) -> Episodes:
    found: dict[str, list[Episode]] = {}
    for episode in results.episodes:
        if group in group_names(episode.variant):
            found.setdefault(episode.variant.id, []).append(episode)
    return found


def _measured(before: Episodes, after: Episodes, metric: Metric) -> list[MeasuredPair]:
    pairs = []
    for variant in (variant for variant in before if variant in after):
        both = [
            [value for episode in episodes[variant] if (value := MEASURES[metric](episode)) is not None]
            for episodes in (before, after)
        ]
        if all(both):
            problem = before[variant][0].variant.problem.id
            once = all(len(own) == 1 for own in both)
            pairs.append(MeasuredPair(problem, fmean(both[0]), fmean(both[1]), once))
    return pairs


def measured_pairs(a: Results, b: Results, metric: Metric, group: Group) -> list[MeasuredPair]:
    """The variants of a group that both measured, in the order of `a`."""
    return _measured(_by_variant(a, group), _by_variant(b, group), metric)


def by_problem(pairs: Sequence[MeasuredPair]) -> dict[str, list[float]]:
    """Differences, after minus before, by problem."""
    differences: dict[str, list[float]] = {}
    for pair in pairs:
        differences.setdefault(pair.problem, []).append(pair.after - pair.before)
    return differences


def _mcnemar(pairs: Sequence[MeasuredPair]) -> McNemar:
    won = sum(pair.after > pair.before for pair in pairs)
    lost = sum(pair.after < pair.before for pair in pairs)
    return McNemar(won, lost, mcnemar_p(won, lost))


def _check_comparable(a: Results, b: Results, same_prompts: bool) -> None:
    prompts_a, prompts_b = _prompts(a), _prompts(b)
    shared = prompts_a.keys() & prompts_b.keys()
    if not shared:
        raise DataError(
            f"{_label(a)} and {_label(b)} have no variant in common, so they cannot be paired. "
            "Evaluate both checkpoints on the same suite with the same data seed."
        )
    changed = sorted(variant for variant in shared if prompts_a[variant] != prompts_b[variant])
    if changed and same_prompts:
        raise DataError(
            f"{_label(a)} and {_label(b)} were shown different prompts for {len(changed)} variants, the first is "
            f"{changed[0]!r}. Evaluate both again on one version of the data."
        )


def _prompts(results: Results) -> dict[str, str]:
    prompts = {episode.variant.id: episode.variant.prompt for episode in results.episodes}
    [(episode, times)] = Counter(episode.id for episode in results.episodes).most_common(1) or [("", 0)]
    if times > 1:
        raise DataError(f"{_label(results)} has episode {episode!r} {times} times. Compare runs that played it once.")
    return prompts


def _label(results: Results) -> str:
    return f"{results.checkpoint!r} on {results.suite!r} ({len(results.episodes)} episodes)"
