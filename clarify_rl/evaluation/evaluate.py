"""Plays a suite with one checkpoint, through the same loop as training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.seeds import derive_seed
from clarify_rl.types import Episode, Policy, Pool, Start, Variant


def episode_id(variant: Variant) -> str:
    """The name of the episode of a variant."""
    return f"eval/{variant.id}"


def evaluate(
    variants: Sequence[Variant],
    *,
    policy: Policy,
    pool: Pool,
    chat: Chat | TextChat,
    limits: DialogueLimits,
    batch_size: int,
    seed: int,
    price: float | None = None,
) -> Iterator[list[Episode]]:
    """Episodes in the suite's order, a batch at a time. The user's seeds depend on the variant, not on the model."""
    for first in range(0, len(variants), batch_size):
        batch = variants[first : first + batch_size]
        yield run_episodes(
            [Start(variant, episode_id(variant), derive_seed(seed, variant.id), price=price) for variant in batch],
            policy=policy,
            pool=pool,
            chat=chat,
            limits=limits,
        )
