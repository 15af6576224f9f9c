"""A user who has nothing to add: what a model solves beside one is what it solves without answers."""

from __future__ import annotations

from collections.abc import Sequence

from clarify_rl.registry import user
from clarify_rl.types import Answer, Heard, Outcome, Turn, Variant

SAYS = "I have nothing to add to that."


@user("silent")
class SilentUser:
    """Answers every question with the same words, and tells nothing."""

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        return Answer(SAYS, tuple(Heard(Outcome.NONE) for _ in questions))
