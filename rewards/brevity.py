"""Short replies."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating


@reward("brevity")
@dataclass(frozen=True)
class Brevity:
    """Falls from 1 to 0 as the policy's tokens reach `most_tokens`, the user's not counted."""

    most_tokens: int = 512

    def __call__(self, episode: Episode) -> Rating:
        tokens = sum(len(turn.reply.token_ids) or turn.reply.tokens or 0 for turn in episode.turns)
        return Rating(max(0.0, 1 - tokens / self.most_tokens), why=f"{tokens} tokens")
