"""Clear problems as a base model's training text: nothing is missing, so nobody ever has to ask.

Most are a complete statement and its solution. In some, the user completes the statement in further messages, each a
question that the user answers himself; in some, the user asks about a complete statement and reads the answer.
"""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank.draw import Draw
from clarify_rl.problems.bank.spec import FactSpec
from clarify_rl.synthesis.mix import code_reply
from clarify_rl.types import Message

MOST_COMPLETED = 3


def clear_dialogue(draw: Draw, rng: Random, *, completed_share: float, reading_share: float) -> tuple[Message, ...]:
    """A dialogue about a clear problem that ends with one assistant message, the only one."""
    style = rng.random()
    if style < completed_share:
        return _completed(draw, rng)
    if style < completed_share + reading_share:
        return _reading(draw, rng)
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


def _answer(draw: Draw, spec: FactSpec, rng: Random) -> str:
    return rng.choice(draw.option(spec).answers)
