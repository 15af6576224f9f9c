"""Problem -> Variants: leaves facts out, blurs them or contradicts them, each proved to matter by the hidden tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from clarify_rl.problems.bank.draw import Draw, outcomes, same
from clarify_rl.problems.bank.spec import Choices, FactSpec, about, not_about
from clarify_rl.types import Defect, Fact, Problem, Raises, Variant
from clarify_rl.wording import stems

EXAMPLE_SHARE = 0.2  # of the contradicted facts; the others are contradicted by a sentence
EITHER_SHARE = 0.5  # of the ambiguous facts, where it can be said: two readings are offered; the others are blurred
_MOST_DIFFERENT = 4  # words by which two sentences may differ if one sentence is to offer both
_EXAMPLE = "For example, "
_EXAMPLE_INPUTS = 24
_LONGEST_EXAMPLE = 90  # characters


def make_variant(draw: Draw, problem: Problem, defects: Mapping[str, Defect], rng: Random) -> Variant:
    """The variant of a drawn problem in which the facts named in `defects` are hidden, blurred or contradicted."""
    prompt, shown = unclear_statement(draw, defects, rng)
    in_order = [draw.facts[index] for index in draw.order]
    facts = [_fact(draw, spec, defects[spec.id], shown[spec.id]) for spec in in_order if spec.id in defects]
    stated = [Fact(s.id, None, draw.sentence(s), questions=s.asks) for s in in_order if s.id not in defects]
    suffix = "+".join(f"{fact.id}:{fact.defect}" for fact in facts) or "clear"
    kind = "+".join(sorted(set(defects.values()))) or "clear"
    return Variant(f"{problem.id}/{suffix}", problem, prompt, kind, tuple(facts), tuple(stated))


def unclear_statement(draw: Draw, defects: Mapping[str, Defect], rng: Random) -> tuple[str, dict[str, str]]:
    """The statement with these defects, and what stands in it for each fact that has one ("" for a hidden fact)."""
    sentences: list[str] = []
    apart: list[tuple[str, str]] = []
    shown_for: dict[str, str] = {}
    for index in draw.order:
        spec = draw.facts[index]
        shown, *contradiction = _shown(draw, spec, defects.get(spec.id), rng, alone=len(defects) == 1)
        sentences += [shown] if shown else []
        apart += [(shown, said) for said in contradiction]
        if spec.id in defects:
            shown_for[spec.id] = " ".join([shown, *contradiction])
    for disputed, sentence in apart:
        sentences.insert(_place_apart(sentences, disputed, sentence, rng), sentence)
    return " ".join([draw.opening, *sentences]), shown_for


def _shown(draw: Draw, spec: FactSpec, defect: Defect | None, rng: Random, *, alone: bool) -> list[str]:
    """The sentence that stands in the prompt for a fact ("" for none); for a contradicted one, what disputes it too."""
    match defect:
        case None:
            return [draw.sentence(spec)]
        case Defect.INCOMPLETE:
            return [""]
        case Defect.AMBIGUOUS:
            return [_ambiguous(draw, spec, rng)]
        case Defect.INCONSISTENT:
            return _contradicted(draw, spec, rng, alone=alone)


def _ambiguous(draw: Draw, spec: FactSpec, rng: Random) -> str:
    """A sentence that leaves the fact open: it offers the truth and another option, or says nothing definite."""
    if rng.random() < EITHER_SHARE:
        wording = draw.wording[draw.facts.index(spec)]
        others = [option.says for option in spec.options if option is not draw.option(spec)]
        offered = [both for says in others if (both := either(draw.sentence(spec), says[wording % len(says)], rng))]
        if offered:
            return rng.choice(offered)
    return rng.choice(spec.vague)


def either(one: str, other: str, rng: Random) -> str:
    """Both sentences as one, "The limit is 3 or 5.", in either order; "" where they do not differ in a single place."""
    first, second = (sentence.removesuffix(".").split() for sentence in rng.sample([one, other], 2))
    shorter = min(len(first), len(second))
    before = next((i for i in range(shorter) if first[i] != second[i]), shorter)
    after = next((i for i in range(shorter - before) if first[-1 - i] != second[-1 - i]), shorter - before)
    middles = [words[before : len(words) - after] for words in (first, second)]
    if not before + after or not all(0 < len(words) <= _MOST_DIFFERENT for words in middles):
        return ""
    if not before:
        middles[1][0] = middles[1][0].lower()
    return " ".join([*first[:before], *middles[0], "or", *middles[1], *first[len(first) - after :]]) + "."


def _contradicted(draw: Draw, spec: FactSpec, rng: Random, *, alone: bool) -> list[str]:
    """The fact's sentence and one for another option, in either order, or an example that only another option explains.

    An example would give hidden facts away, so it needs a fact that is `alone`.
    """
    other = rng.choice([option for option in spec.options if option is not draw.option(spec)])
    by_example = alone and rng.random() < EXAMPLE_SHARE
    if by_example and (example := _example(draw, {**draw.choices, spec.id: other.value}, rng)):
        return [draw.sentence(spec), example]
    return rng.sample([draw.sentence(spec), rng.choice(other.says)], 2)


def _place_apart(sentences: Sequence[str], shown: str, contradiction: str, rng: Random) -> int:
    """Where a contradiction goes: an example to the end, a sentence behind `shown`, with others between if it can."""
    if contradiction.startswith(_EXAMPLE):
        return len(sentences)
    behind = sentences.index(shown) + 1
    return rng.randint(min(behind + 1, len(sentences)), len(sentences))


def _example(draw: Draw, choices: Choices, rng: Random) -> str:
    """The shortest of a few examples of what other choices give where the outputs differ; "" when none is short."""
    inputs = [draw.family.inputs(rng, draw.choices) for _ in range(_EXAMPLE_INPUTS)]
    right = outcomes(draw.solution, draw.entry_point, inputs)
    wrong = outcomes(draw.family.solution(draw.entry_point, choices), draw.entry_point, inputs)
    texts = [
        _example_text(draw.entry_point, args, b)
        for args, a, b in zip(inputs, right, wrong, strict=True)
        if not same(a, b)
    ]
    return min((text for text in texts if len(text) <= _LONGEST_EXAMPLE), key=len, default="")


def _example_text(entry_point: str, args: tuple[object, ...], outcome: object) -> str:
    call = f"{entry_point}({', '.join(map(repr, args))})"
    return f"{_EXAMPLE}{call} " + (
        f"raises {outcome.exception}." if isinstance(outcome, Raises) else f"returns {outcome!r}."
    )


def _fact(draw: Draw, spec: FactSpec, defect: Defect, replaced_by: str) -> Fact:
    return Fact(
        id=spec.id,
        defect=defect,
        statement=draw.sentence(spec),
        replaced_by=replaced_by,
        answers=draw.option(spec).answers,
        questions=spec.asks,
        about=about(draw.family, spec.id),
        # The opening mentions some facts' words, so a question may use them whatever it is about.
        not_about=tuple(sorted(not_about(draw.family, spec.id) - stems(draw.opening))),
    )
