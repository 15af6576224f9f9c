"""Whether the final code passes every hidden test."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("solved")
def solved(episode: Episode) -> Rating:
    """1 when every hidden test passes, else 0: nothing is earned with a part. No code is 0."""
    if episode.solved is None:
        return Rating(None, why=episode.failure or "the tests could not be run")
    return Rating(float(episode.solved), why=f"{episode.pass_rate:.0%} of the tests")
