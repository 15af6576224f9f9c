"""The price of asking, whatever it brings."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("question_cost")
@dataclass(frozen=True)
class QuestionCost:
    """Minus `per_question` for each question beyond `free`, and `per_token` for each token of a reply that asks.

    With `as_said`, a question costs so many times the price that the prompt said (dialogue.prices), and nothing where
    it said none.
    """

    per_question: float = 1.0
    per_token: float = 0.0
    free: int = 0
    as_said: bool = False

    def __call__(self, episode: Episode) -> Rating:
        free, costs = self.free, []
        each = self.per_question * (episode.price or 0.0 if self.as_said else 1.0)
        for turn in episode.turns:
            questions, reply = len(turn.reply.questions), turn.reply
            tokens = (len(reply.token_ids) or reply.tokens or 0) if questions else 0
            costs.append(-each * max(0, questions - free) - self.per_token * tokens)
            free = max(0, free - questions)
        return Rating.of_turns(costs, why=f"{len(episode.questions)} questions at {each:g}, {self.free} free")
