"""Plays a suite with one checkpoint, through the same loop as training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.seeds import derive_seed
from clarify_rl.timeline import Timeline
from clarify_rl.types import Episode, Policy, Pool, Start, Variant


def episode_ids(variant: Variant, samples: int) -> list[str]:
    """The names of the episodes of a variant: eval/ID, eval/ID#2, ..."""
    return [f"eval/{variant.id}", *(f"eval/{variant.id}#{number}" for number in range(2, samples + 1))]


def starts_of(variants: Sequence[Variant], *, samples: int, seed: int, price: float | None) -> list[Start]:
    """What a suite begins from, `samples` times each variant. A user's seed hangs on the variant, not on the model."""
    return [
        Start(variant, name, derive_seed(seed, variant.id, *([number] if number else [])), price=price)
        for variant in variants
        for number, name in enumerate(episode_ids(variant, samples))
    ]


def evaluate(
    starts: Sequence[Start],
    *,
    policy: Policy,
    pool: Pool,
    chat: Chat | TextChat,
    limits: DialogueLimits,
    batch_size: int,
    stream: bool = True,
    timeline: Timeline | None = None,
) -> Iterator[list[Episode]]:
    """Episodes in the order of their starts, a batch at a time."""
    for first in range(0, len(starts), batch_size):
        batch = starts[first : first + batch_size]
        yield run_episodes(batch, policy=policy, pool=pool, chat=chat, limits=limits, stream=stream, timeline=timeline)
