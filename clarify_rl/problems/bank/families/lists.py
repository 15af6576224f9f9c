"""Families over lists of numbers."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, code, integer


def _numbers(rng: Random, low: int, high: int, longest: int = 9) -> list[int]:
    """A list with repeats, often with equal neighbours; empty one time in eight."""
    if rng.random() < 0.125:
        return []
    pool = [rng.randint(low, high) for _ in range(rng.randint(1, longest))]
    return [rng.choice(pool) for _ in range(rng.randint(1, longest))]


def _select_beyond_solution(name: str, c: Choices) -> str:
    sign = ">=" if c["inclusive"] else ">"
    source = "dict.fromkeys(xs)" if c["duplicates"] == "drop" else "xs"
    picked = f"[x for x in {source} if x {sign} {c['limit']}]"
    final = {"asc": "sorted(ys)", "desc": "sorted(ys, reverse=True)", "kept": "ys"}[str(c["order"])]
    return code(f"def {name}(xs):", f"    ys = {picked}", f"    return {final}")


def _near(rng: Random, centre: int) -> list[int]:
    """Numbers around `centre`, so that its neighbours and the centre itself come up."""
    return _numbers(rng, centre - 3, centre + 6)


SELECT_BEYOND = Family(
    name="select_beyond",
    area="lists",
    entry_points=("select", "pick_large", "above", "big_ones"),
    parameters=("xs",),
    openings=(
        "Write {call} that returns the numbers in xs above a limit.",
        "Implement {call}: select the numbers of the list xs that exceed a limit.",
        "Create {call}, which keeps only the numbers in xs larger than a limit.",
    ),
    facts=(facts.limit(range(4, 60)), facts.inclusive(), facts.order(), facts.duplicates()),
    solution=_select_beyond_solution,
    inputs=lambda rng, c: (_near(rng, integer(c, "limit")),),
)

FAMILIES = (SELECT_BEYOND,)
