"""How much of the hidden tests the final code passes."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("pass_rate")
def pass_rate(episode: Episode) -> Rating:
    """The share of hidden tests passed. No code is 0."""
    why = episode.execution.verdict.value if episode.execution else f"no code: {episode.stop}"
    return Rating(episode.pass_rate, why=why if episode.measured else episode.failure or why)
