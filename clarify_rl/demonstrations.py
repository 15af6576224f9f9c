"""Dialogues for SFT: an exemplary engineer played through the very loop that training and evaluation use.

So the token ids and the mask that SFT trains on are those of a rollout, and every demonstration is known to pass its
tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.errors import DataError
from clarify_rl.policies.scripted import ScriptedPolicy
from clarify_rl.seeds import derive_seed
from clarify_rl.synthesis.mix import exemplary_replies
from clarify_rl.types import Episode, Pool, Start, Variant


def demonstrate(
    variants: Sequence[Variant],
    *,
    pool: Pool,
    chat: Chat,
    limits: DialogueLimits,
    seed: int,
) -> list[Episode]:
    """One solved episode for each variant. Raises DataError for a demonstration that does not pass its own tests."""
    scripts = {
        f"demo/{variant.id}": [chat.said(reply) for reply in exemplary_replies(variant, seed)] for variant in variants
    }
    longest = max((len(script) for script in scripts.values()), default=1)
    episodes = run_episodes(
        [
            Start(
                variant,
                episode_id,
                derive_seed(seed, "demo", variant.id),
                price=chat.prices.drawn(seed, "demo", variant.id),
            )
            for variant, episode_id in zip(variants, scripts, strict=True)
        ],
        policy=ScriptedPolicy(scripts, chat.encode, chat.turn_end_id),
        pool=pool,
        chat=chat,
        limits=replace(limits, max_questions=max(limits.max_questions, longest - 1)),
    )
    for episode in episodes:
        if episode.failure:
            raise DataError(f"The demonstration for {episode.variant.id} could not be played: {episode.failure}.")
        if not episode.solved:
            raise DataError(
                f"The demonstration for {episode.variant.id} ended with {episode.stop} "
                f"({episode.execution}). Raise dialogue.turn_tokens or dialogue.total_tokens, or "
                "report this problem."
            )
    return episodes
