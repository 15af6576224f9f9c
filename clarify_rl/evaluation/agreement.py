"""How far two raters agree: rules and a language model, or a published judge and our user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Of `n` things both rated yes or no: how many each and both said yes to, and Cohen's kappa (None: no variance)."""

    n: int
    first: int
    second: int
    both: int
    kappa: float | None


def agreement(pairs: Iterable[tuple[bool, bool]]) -> Agreement:
    """Of the two raters' yes and no for each thing."""
    seen = list(pairs)
    first, second = (sum(pair[side] for pair in seen) for side in (0, 1))
    return Agreement(len(seen), first, second, sum(a and b for a, b in seen), kappa(seen))


def kappa(pairs: Iterable[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of two raters' yes and no; None where chance alone would make them agree."""
    seen = list(pairs)
    if not seen:
        return None
    agreed = sum(a == b for a, b in seen) / len(seen)
    first, second = (sum(pair[side] for pair in seen) / len(seen) for side in (0, 1))
    chance = first * second + (1 - first) * (1 - second)
    return None if chance == 1 else (agreed - chance) / (1 - chance)
