"""Pays for what the questions brought to light, whether or not the code then passed."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("useful_question")
def useful_question(episode: Episode) -> Rating:
    """The number of hidden facts that were asked for and told: each counts once, volunteered ones do not."""
    known: set[str] = set()
    new = []
    for turn in episode.turns:
        revealed = set(turn.answer.revealed if turn.answer else ()) - known
        known |= revealed
        new.append(len(revealed))
    return Rating.of_turns(new, why=", ".join(episode.revealed) or "nothing revealed")
