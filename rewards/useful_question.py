"""Pays for what the questions brought to light, whether or not the code then passed."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Score


@reward("useful_question")
def useful_question(episode: Episode) -> Score:
    """The number of hidden facts that the user revealed: each counts once, and a clear variant has none."""
    revealed = episode.revealed
    return Score("useful_question", float(len(revealed)), why=", ".join(revealed) or "nothing revealed")
