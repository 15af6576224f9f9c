"""Problems as a base model's training text: whatever it is to code is complete, so it never has to ask.

Most are a complete statement and its solution. In some, the user completes the statement in further messages, each a
question that the user answers himself; in some, the user asks about a complete statement and reads the answer, or wants
to know what in a statement is unclear and reads the questions that it leaves open.
"""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank.draw import Draw
from clarify_rl.problems.bank.spec import FactSpec
from clarify_rl.synthesis.mix import code_reply
from clarify_rl.synthesis.variants import unclear_statement
from clarify_rl.types import Defect, Message

MOST_COMPLETED = 3
_UNCLEAR = ("What is unclear?", "Which sentences leave something open?", "Is anything left open?")
_NOTHING_UNCLEAR = "Nothing."
_MOST_UNCLEAR = 2
_ALL_CLEAR_SHARE = 0.3  # of the statements of which the user asks what is unclear
_UNCLEAR_KINDS = {Defect.AMBIGUOUS: 1, Defect.INCONSISTENT: 3}  # two sentences that disagree are the harder to see


def base_dialogue(
    draw: Draw, rng: Random, *, completed_share: float, reading_share: float, unclear_share: float
) -> tuple[Message, ...]:
    """A dialogue about a problem that ends with one assistant message, the only one: the solution, or what was read."""
    style = rng.random()
    if style < completed_share:
        return _completed(draw, rng)
    if style < completed_share + reading_share:
        return _reading(draw, rng)
    if style < completed_share + reading_share + unclear_share:
        return _unclear(draw, rng)
    return coded(draw)


def coded(draw: Draw) -> tuple[Message, Message]:
    """The complete statement, and the solution."""
    return Message("user", draw.prompt), Message("assistant", code_reply(draw.solution))


def _completed(draw: Draw, rng: Random) -> tuple[Message, ...]:
    """Some facts come in messages of their own, as in "What is the limit? Use 5."."""
    later = rng.sample(draw.facts, rng.randint(1, min(MOST_COMPLETED, len(draw.facts) - 1)))
    first = [draw.sentence(draw.facts[i]) for i in draw.order if draw.facts[i] not in later]
    return (
        Message("user", " ".join([draw.opening, *first])),
        *(Message("user", f"{rng.choice(spec.asks)} {_answer(draw, spec, rng)}") for spec in later),
        Message("assistant", code_reply(draw.solution)),
    )


def _reading(draw: Draw, rng: Random) -> tuple[Message, ...]:
    """A question about a complete statement, and the answer that stands in it."""
    spec = rng.choice(draw.facts)
    return (
        Message("user", f"{draw.prompt} {rng.choice(spec.asks)}"),
        Message("assistant", _answer(draw, spec, rng)),
    )


def _unclear(draw: Draw, rng: Random) -> tuple[Message, ...]:
    """What is unclear in a statement, where sentences are blurred or disagree: a question about each such fact."""
    count = 0 if rng.random() < _ALL_CLEAR_SHARE else rng.randint(1, min(_MOST_UNCLEAR, len(draw.facts)))
    kinds = rng.choices(list(_UNCLEAR_KINDS), weights=list(_UNCLEAR_KINDS.values()), k=count)
    defects = {spec.id: kind for spec, kind in zip(rng.sample(draw.facts, count), kinds, strict=True)}
    prompt, shown = unclear_statement(draw, defects, rng)
    open_points = [rng.choice(draw.family.fact(fact_id).asks) for fact_id in shown]
    return (
        Message("user", f"{prompt} {rng.choice(_UNCLEAR)}"),
        Message("assistant", " ".join(open_points) or _NOTHING_UNCLEAR),
    )


def _answer(draw: Draw, spec: FactSpec, rng: Random) -> str:
    return rng.choice(draw.option(spec).answers)
