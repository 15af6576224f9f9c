"""Whether every reply was a question or fenced code."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating, ReplyKind


@reward("well_formed")
def well_formed(episode: Episode) -> Rating:
    """1 when each reply asks or has fenced code, else 0: also where one does both, or was cut off."""
    wrong = [turn.reply.kind for turn in episode.turns if turn.reply.kind not in (ReplyKind.QUESTION, ReplyKind.CODE)]
    return Rating(float(bool(episode.turns) and not wrong), why=", ".join(wrong))
