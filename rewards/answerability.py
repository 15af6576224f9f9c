"""Whether the user could take up what was asked."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Outcome, Rating

_IN_VAIN = frozenset({Outcome.UNCLEAR, Outcome.BROAD, Outcome.LEAK})


@reward("answerability")
def answerability(episode: Episode) -> Rating:
    """The share of questions that were about one thing, and that the user understood; 1 where none was asked.

    After CLARITI (arXiv 2604.14624). It says nothing about whether an answer was needed.
    """
    outcomes = episode.outcomes
    taken_up = sum(outcome not in _IN_VAIN for outcome in outcomes)
    return Rating(taken_up / len(outcomes) if outcomes else 1.0, why=f"{taken_up} of {len(outcomes)}")
