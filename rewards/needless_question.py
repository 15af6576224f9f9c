"""The cost of asking what brings nothing."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Outcome, Rating, Turn, outcomes


@reward("needless_question")
def needless_question(episode: Episode) -> Rating:
    """Minus the number of questions that revealed nothing; those that nobody answered count too.

    In the first reply in which the user does not understand something, what it did not understand costs nothing: that
    is how one learns to ask it differently. Nor does asking twice for one thing in one reply, whose answers are still
    to come. Of one reply, those that ask too much (broad, or more than the user answers at once) cost as much as one.
    """
    needless = [_needless(turn) for turn in episode.turns]
    unclear = [_unclear(turn) for turn in episode.turns]
    first = next((place for place, count in enumerate(unclear) if count), None)
    if first is not None:
        needless[first] -= unclear[first]
    excused = "" if first is None else f", {unclear[first]} not understood excused"
    why = f"{sum(needless)} of {len(episode.questions)}{excused}"
    return Rating.of_turns((-count for count in needless), why=why)


def _unclear(turn: Turn) -> int:
    return 0 if turn.answer is None else outcomes(turn.reply, turn.answer).count(Outcome.UNCLEAR)


def _needless(turn: Turn) -> int:
    if turn.answer is None:
        return len(turn.reply.questions)
    heard, told = outcomes(turn.reply, turn.answer), set(turn.answer.revealed)
    too_much = heard.count(Outcome.BROAD)
    twice = sum(each.outcome is Outcome.REPEATED and told.issuperset(each.facts) for each in turn.answer.heard)
    return len(heard) - heard.count(Outcome.REVEALED) - max(0, too_much - 1) - twice
