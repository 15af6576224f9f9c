"""Pays for what the questions brought to light, whether or not the code then passed."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("useful_question")
def useful_question(episode: Episode) -> Rating:
    """The number of hidden facts that were asked for and told: each counts once, volunteered ones do not."""
    revealed = episode.revealed
    return Rating(float(len(revealed)), why=", ".join(revealed) or "nothing revealed")
