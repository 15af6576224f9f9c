"""Samples variants from the bank in given proportions: how many are clear, how many facts are missing and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from clarify_rl.errors import DataError
from clarify_rl.problems.bank.draw import Draw, Split, draws, make_problem
from clarify_rl.problems.bank.spec import Family
from clarify_rl.seeds import derive_seed
from clarify_rl.synthesis.variants import make_variant
from clarify_rl.types import Defect, Variant


@dataclass(frozen=True)
class Mix:
    """Proportions of variants. Clear ones come from `clear_families`, unclear ones from `families`.

    Where there are `seldom` families, `seldom_share` of the unclear ones come from those.
    """

    count: int
    families: Sequence[Family]
    clear_families: Sequence[Family]
    clear_share: float = 0.5
    missing: Mapping[int, float] = field(default_factory=lambda: {1: 1.0})
    defects: Mapping[Defect, float] = field(default_factory=lambda: dict.fromkeys(Defect, 1.0))
    seldom: Sequence[Family] = ()
    seldom_share: float = 0.0


def sample_variants(
    mix: Mix, split: Split, seed: int, *, on_variant: Callable[[], None] | None = None
) -> list[Variant]:
    """`mix.count` variants of different problems, deterministic by seed; tests prove that every hidden fact matters.

    Raises DataError when the mix asks for something that cannot be made.
    """
    if not mix.clear_families or (mix.clear_share < 1 and not mix.families):
        raise DataError("The mix names no families: give at least one to draw variants from.")
    rng = Random(f"{seed}/{split}/mix")
    clear, unclear = draws(mix.clear_families, split, seed), draws(mix.families, split, derive_seed(seed, "unclear"))
    seldom = draws(mix.seldom, split, derive_seed(seed, "seldom"))
    drawn: dict[str, Variant] = {}
    attempts = 0
    while len(drawn) < mix.count:
        attempts += 1
        if attempts > 20 * mix.count + 1000:
            raise DataError(
                f"Made only {len(drawn)} of {mix.count} variants: too few distinct problems. Ask for fewer."
            )
        is_clear = rng.random() < mix.clear_share
        is_seldom = not is_clear and bool(mix.seldom) and rng.random() < mix.seldom_share
        draw = next(clear if is_clear else seldom if is_seldom else unclear)
        problem = make_problem(draw, seed)
        if problem is None or problem.id in drawn:
            continue
        drawn[problem.id] = make_variant(draw, problem, {} if is_clear else _defects(draw, mix, rng), rng)
        if on_variant:
            on_variant()
    return list(drawn.values())


def _defects(draw: Draw, mix: Mix, rng: Random) -> dict[str, Defect]:
    """Which facts are missing, and what happened to each."""
    (count,) = rng.choices(list(mix.missing), weights=list(mix.missing.values()))
    hidden = rng.sample(draw.facts, min(count, len(draw.facts)))
    kinds = rng.choices(list(mix.defects), weights=list(mix.defects.values()), k=len(hidden))
    return {spec.id: defect for spec, defect in zip(hidden, kinds, strict=True)}


def interleaved(variants: Sequence[Variant]) -> list[Variant]:
    """The variants in an order in which every stretch holds the same mixture of numbers of missing facts.

    A batch that happens to hold no clear problem teaches to ask always, one of clear problems only never to ask.
    """
    strata: dict[int, list[Variant]] = {}
    for variant in variants:
        strata.setdefault(len(variant.facts), []).append(variant)
    places = [
        ((rank + 0.5) / len(stratum), missing, variant)
        for missing, stratum in sorted(strata.items())
        for rank, variant in enumerate(stratum)
    ]
    return [variant for _, _, variant in sorted(places, key=lambda place: place[:2])]


def exemplary_replies(variant: Variant, seed: int) -> tuple[str, ...]:
    """What a good engineer would say: a question for each hidden fact, in random order, then the reference solution."""
    rng = Random(f"{seed}/{variant.id}/replies")
    facts = rng.sample(variant.facts, len(variant.facts))
    return (*(rng.choice(fact.questions) for fact in facts), code_reply(variant.problem.solution))


def code_reply(solution: str) -> str:
    """A solution as a reply: one fenced block and nothing else."""
    return f"```python\n{solution.strip()}\n```"
