"""The cost of asking what brings nothing."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("needless_question")
def needless_question(episode: Episode) -> Rating:
    """Minus the number of questions that revealed nothing; those that nobody answered count too."""
    answered = sum(len(turn.reply.questions) for turn in episode.turns if turn.answer)
    needless = len(episode.questions) - answered + episode.useless_questions
    return Rating(float(-needless), why=f"{needless} of {len(episode.questions)}")
