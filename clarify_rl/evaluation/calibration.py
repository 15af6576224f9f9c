"""Whether a checkpoint knows when its code is right: how sure it was of it, against whether it was solved.

The confidence of an episode is the geometric mean of the probabilities of its last reply's tokens, as sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import exp

from clarify_rl.types import Episode

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Episodes of similar confidence: their mean confidence, the share that is solved, and how many they are."""

    confidence: float
    solved: float
    n: int


@dataclass(frozen=True)
class Calibration:
    """`error`: the expected calibration error, the mean distance of confidence and share solved over the bins.

    `ranking`: how often a solved episode was surer than one that was not (AUROC; 0.5 is chance); None where all or none
    were solved. Bins hold equally many episodes.
    """

    bins: tuple[Bin, ...]
    error: float
    ranking: float | None
    n: int


def confidence(episode: Episode) -> float | None:
    """None where the probabilities of the last reply are not known, or there is none."""
    if episode.logprobs is None:
        return None
    own = [list(run) for mine, run in groupby(zip(episode.policy_mask, episode.logprobs, strict=True), _mask) if mine]
    if not own:
        return None
    logprobs = [logprob for _, logprob in own[-1]]
    return exp(sum(logprobs) / len(logprobs))


def _mask(token: tuple[int, float]) -> int:
    return token[0]


def calibration_of(episodes: Sequence[Episode]) -> Calibration | None:
    """Over the measured episodes whose confidence is known; None without any."""
    told = [(confidence(episode), episode.solved) for episode in episodes]
    known = sorted((sure, solved) for sure, solved in told if sure is not None and solved is not None)
    if not known:
        return None
    count = min(BINS, len(known))
    edges = [len(known) * i // count for i in range(count + 1)]
    bins = tuple(_bin(known[low:high]) for low, high in pairwise(edges))
    error = sum(each.n * abs(each.confidence - each.solved) for each in bins) / len(known)
    return Calibration(bins, error, _ranking(known), len(known))


def _bin(members: Sequence[tuple[float, bool]]) -> Bin:
    n = len(members)
    return Bin(sum(sure for sure, _ in members) / n, sum(solved for _, solved in members) / n, n)


def _ranking(known: Sequence[tuple[float, bool]]) -> float | None:
    """The rank sum of the solved ones; those equally sure share their ranks."""
    solved = sum(ok for _, ok in known)
    if solved in (0, len(known)):
        return None
    ranks, place = 0.0, 0
    for _, group in groupby(known, lambda each: each[0]):
        equal = list(group)
        ranks += sum(ok for _, ok in equal) * (place + (len(equal) + 1) / 2)
        place += len(equal)
    return (ranks - solved * (solved + 1) / 2) / (solved * (len(known) - solved))
