"""How far chance reaches: intervals by a bootstrap of clusters, and how likely a difference is without a cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def bootstrap_interval(
    clusters: Sequence[Sequence[float]], *, seed: int, resamples: int = 10_000, confidence: float = 0.95
) -> Interval | None:
    """The percentile interval of the mean of all values, drawing whole clusters; None with fewer than two."""
    if len(clusters) < 2:
        return None
    rng = np.random.default_rng(seed)
    sums = np.array([sum(cluster) for cluster in clusters])
    sizes = np.array([len(cluster) for cluster in clusters])
    means = np.concatenate([_resample(sums, sizes, count, rng) for count in _batches(resamples)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _resample(sums: Floats, sizes: Floats, count: int, rng: np.random.Generator) -> Floats:
    drawn = rng.integers(len(sums), size=(count, len(sums)))
    means: Floats = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means


def _batches(resamples: int, size: int = 500) -> Iterator[int]:
    """Batch sizes that keep the resampled indices of a large suite within a few megabytes."""
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def sign_flip_p(clusters: Sequence[Sequence[float]], *, seed: int, flips: int = 10_000) -> float | None:
    """Two-sided p of the sum, where each cluster's difference might as well have had the other sign.

    Exact where there are no more ways than `flips`, else by so many drawn ones, the seen one among them, so that it is
    never too small. None without clusters.
    """
    if not clusters:
        return None
    sums = np.array([total for cluster in clusters if (total := sum(cluster))])
    seen = abs(sums.sum()) - 1e-9
    if 2 ** len(sums) <= flips:
        ways = np.array(list(product((-1.0, 1.0), repeat=len(sums))))
        return float((np.abs(ways @ sums) >= seen).mean())
    rng = np.random.default_rng(seed)
    as_far = 0
    for count in _batches(flips):
        signs = rng.integers(2, size=(count, len(sums)), dtype=np.int8) * 2.0 - 1.0
        as_far += int((np.abs(signs @ sums) >= seen).sum())
    return (as_far + 1) / (flips + 1)


def mcnemar_p(won: int, lost: int) -> float:
    """Exact two-sided p: as uneven a split of the discordant pairs, or more, when each falls either way like a coin."""
    flips = won + lost
    tail: int = sum(comb(flips, k) for k in range(min(won, lost) + 1))
    return min(1.0, 2 * tail / (1 << flips))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """The p values, corrected for how many they are (Holm 1979): never smaller, and each at most 1."""
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    least = 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        corrected[place] = least
    return corrected
