"""The cost of asking what brings nothing."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Outcome, Rating, Turn, outcomes


@reward("needless_question")
def needless_question(episode: Episode) -> Rating:
    """Minus the number of questions that revealed nothing; those that nobody answered count too.

    The first question that the user did not understand costs nothing: that is how one learns to ask it differently. Of
    one reply, those that ask too much (broad, or more than the user answers at once) cost as much as one.
    """
    needless = sum(map(_needless, episode.turns))
    excused = Outcome.UNCLEAR in episode.outcomes
    unclear = ", the first unclear one excused" if excused else ""
    return Rating(float(excused - needless), why=f"{needless - excused} of {len(episode.questions)}{unclear}")


def _needless(turn: Turn) -> int:
    if turn.answer is None:
        return len(turn.reply.questions)
    heard = outcomes(turn.reply, turn.answer)
    too_much = heard.count(Outcome.BROAD)
    return len(heard) - heard.count(Outcome.REVEALED) - max(0, too_much - 1)
