"""A reward and a user from another package: what you write, and nothing to register in clarify-rl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clarify_rl import Answer, Episode, Heard, Outcome, Rating, Turn, Variant


def courtesy(episode: Episode) -> Rating:
    """The share of questions that say please; 0 without a question."""
    polite = sum("please" in question.lower() for question in episode.questions)
    return Rating(polite / len(episode.questions) if episode.questions else 0.0, why=f"{polite} say please")


@dataclass(frozen=True)
class Curt:
    """Tells the next hidden fact to the first question of a turn, at most `patience` in a dialogue."""

    patience: int = 2

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        told = {fact for turn in turns if turn.answer for fact in turn.answer.told}
        left = [fact for fact in variant.facts if fact.id not in told]
        if not left or len(told) >= self.patience:
            return Answer("No.")
        others = (Heard(Outcome.NONE),) * (len(questions) - 1)
        return Answer(left[0].statement, (Heard(Outcome.REVEALED, (left[0].id,)), *others))
