"""The price of asking, whatever it brings."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("question_cost")
@dataclass(frozen=True)
class QuestionCost:
    """Minus `per_question` for each question beyond `free`, and `per_token` for each token of a reply that asks."""

    per_question: float = 1.0
    per_token: float = 0.0
    free: int = 0

    def __call__(self, episode: Episode) -> Rating:
        replies = [turn.reply for turn in episode.turns if turn.reply.questions]
        tokens = sum(len(reply.token_ids) or reply.tokens or 0 for reply in replies)
        paid = max(0, len(episode.questions) - self.free)
        return Rating(-self.per_question * paid - self.per_token * tokens, why=f"{paid} questions, {tokens} tokens")
