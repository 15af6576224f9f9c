"""Problem -> Variants: leaves facts out, blurs them or contradicts them, each proved to matter by the hidden tests."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from clarify_rl.problems.bank.draw import Draw
from clarify_rl.problems.bank.spec import FactSpec, about
from clarify_rl.types import Defect, Fact, Problem, Variant


def make_variant(draw: Draw, problem: Problem, defects: Mapping[str, Defect], rng: Random) -> Variant:
    """The variant of a drawn problem in which the facts named in `defects` are hidden, blurred or contradicted."""
    sentences: list[str] = []
    facts: list[Fact] = []
    for index in draw.order:
        spec = draw.facts[index]
        defect = defects.get(spec.id)
        shown = _shown(draw, spec, defect, rng)
        sentences += shown
        if defect is not None:
            facts.append(_fact(draw, spec, defect, " ".join(shown)))
    prompt = " ".join([draw.opening, *sentences])
    suffix = "+".join(f"{fact.id}:{fact.defect}" for fact in facts) or "clear"
    kind = "+".join(sorted(set(defects.values()))) or "clear"
    return Variant(id=f"{problem.id}/{suffix}", problem=problem, prompt=prompt, kind=kind, facts=tuple(facts))


def _shown(draw: Draw, spec: FactSpec, defect: Defect | None, rng: Random) -> list[str]:
    """The sentences that stand in the prompt for one fact."""
    match defect:
        case None:
            return [draw.sentence(spec)]
        case Defect.INCOMPLETE:
            return []
        case Defect.AMBIGUOUS:
            return [rng.choice(spec.vague)]
        case Defect.INCONSISTENT:
            other = rng.choice([option for option in spec.options if option is not draw.option(spec)])
            return rng.sample([draw.sentence(spec), rng.choice(other.says)], 2)


def _fact(draw: Draw, spec: FactSpec, defect: Defect, replaced_by: str) -> Fact:
    return Fact(
        id=spec.id,
        defect=defect,
        statement=draw.sentence(spec),
        replaced_by=replaced_by,
        answers=draw.option(spec).answers,
        questions=spec.asks,
        about=about(draw.family, spec.id),
    )
