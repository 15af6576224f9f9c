"""The cost of asking what brings nothing."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Outcome, Rating


@reward("needless_question")
def needless_question(episode: Episode) -> Rating:
    """Minus the number of questions that revealed nothing; those that nobody answered count too.

    The first question that the user did not understand costs nothing: that is how one learns to ask it differently.
    """
    heard = episode.outcomes
    excused = Outcome.UNCLEAR in heard
    needless = len(episode.questions) - heard.count(Outcome.REVEALED) - excused
    unclear = ", the first unclear one excused" if excused else ""
    return Rating(float(-needless), why=f"{needless} of {len(episode.questions)}{unclear}")
