"""A user at the terminal: sees the questions, and types the answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clarify_rl.registry import user
from clarify_rl.types import Answer, Fact, Heard, Outcome, Turn, Variant
from clarify_rl.wording import stems

PROMPT = "Your answer (your own words, or a fact's number): "


def _heard(told: Sequence[str], questions: int) -> tuple[Heard, ...]:
    """Nobody says which question a fact answers: each tells one, and the last of them what is left."""
    shares = [(fact,) for fact in told[: questions - 1]] + [tuple(told[questions - 1 :])]
    heard = [Heard(Outcome.REVEALED, share) for share in shares if share]
    return (*heard, *(Heard(Outcome.NONE) for _ in range(questions - len(heard))))


@user("human")
@dataclass(frozen=True)
class HumanUser:
    """Asks for one answer to all questions of a turn. A number says that fact; the end of the input is Ctrl-C.

    A fact counts as revealed when `match` of its statement's content words are in the answer.
    """

    match: float = 0.6

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        print("\nThe model asks:", *questions, sep="\n  ")
        said = self._typed(variant.facts)
        known = {fact for turn in turns if turn.answer for fact in turn.answer.told}
        told = [fact.id for fact in variant.facts if fact.id not in known and self._says(said, fact)]
        return Answer(said, _heard(told, len(questions)))

    def _typed(self, facts: Sequence[Fact]) -> str:
        """What was typed, with the numbers of facts turned into their statements."""
        while True:
            try:
                typed = input(PROMPT).strip()
            except EOFError:
                raise KeyboardInterrupt from None
            numbers = [int(number) for number in re.findall(r"\d+", typed)]
            if typed and not re.fullmatch(r"[\d\s,]+", typed):
                return typed
            if numbers and all(1 <= number <= len(facts) for number in numbers):
                return " ".join(facts[number - 1].statement for number in numbers)
            if typed and not facts:
                return typed
            print(f"Type an answer, or a number from 1 to {len(facts)}." if facts else "Type an answer.")

    def _says(self, said: str, fact: Fact) -> bool:
        asked_for = stems(fact.statement)
        return fact.statement in said or (
            bool(asked_for) and len(asked_for & stems(said)) >= self.match * len(asked_for)
        )
