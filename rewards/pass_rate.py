"""How much of the hidden tests the final code passes."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("pass_rate")
@dataclass(frozen=True)
class PassRate:
    """The share of hidden tests passed; with `all_tests`, 1 when every one passes and else 0. No code is 0."""

    all_tests: bool = False

    def __call__(self, episode: Episode) -> Rating:
        share = episode.pass_rate
        why = episode.execution.verdict.value if episode.execution else f"no code: {episode.stop}"
        if share is None:
            return Rating(None, why=episode.failure or why)
        return Rating(float(bool(episode.solved)) if self.all_tests else share, why=why)
