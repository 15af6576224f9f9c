"""pass@k: the chance that one of k samples passes, from n >= k of them (Chen et al. 2021, arXiv 2107.03374)."""

from __future__ import annotations

from math import comb

USUAL = (2, 5, 10, 20, 50, 100)


def pass_at_k(n: int, passed: int, k: int) -> float:
    """The unbiased estimate from `n` samples of which `passed` did. ValueError where k is more than n, or below 1."""
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs 1 <= k <= {n} samples")
    return 1 - comb(n - passed, k) / comb(n, k)


def ks_of(samples: int) -> list[int]:
    """The k that so many samples are told for: the usual ones, and all of them. None for a single sample."""
    return sorted({*(k for k in USUAL if k <= samples), samples}) if samples > 1 else []
