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
    needless = [_needless(turn) for turn in episode.turns]
    first = next((place for place, turn in enumerate(episode.turns) if _is_unclear(turn)), None)
    if first is not None:
        needless[first] -= 1
    excused = "" if first is None else ", the first unclear one excused"
    why = f"{sum(needless)} of {len(episode.questions)}{excused}"
    return Rating.of_turns((-count for count in needless), why=why)


def _is_unclear(turn: Turn) -> bool:
    return turn.answer is not None and Outcome.UNCLEAR in outcomes(turn.reply, turn.answer)


def _needless(turn: Turn) -> int:
    if turn.answer is None:
        return len(turn.reply.questions)
    heard = outcomes(turn.reply, turn.answer)
    too_much = heard.count(Outcome.BROAD)
    return len(heard) - heard.count(Outcome.REVEALED) - max(0, too_much - 1)
