"""The gate before RL: whether the policy that it starts from, sampled as RL samples it, asks, and is understood.

A policy that never asks has no group in which asking shows its worth, and one whose questions bring nothing unlearns
to ask before it pays (self-locking, arXiv 2603.12109; ask collapse in our own runs). Greedy evaluation does not tell: a
policy may ask at temperature 0, and say at temperature 1 what nobody understands. So the first batch of RL, which is
played before the first update, is looked at; it costs nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence

from tqdm.auto import tqdm

from clarify_rl.errors import ClarifyError
from clarify_rl.rl_sections import GateSection
from clarify_rl.store import Run
from clarify_rl.types import Episode, Outcome

_FEW = 8  # episodes or questions that say too little


def pass_gate(episodes: Sequence[Episode], options: GateSection, run: Run) -> None:
    """Warns of what keeps the first batch of RL from learning to ask. ClarifyError where the gate is told to stop."""
    for text in locked(episodes, options):
        run.add_metrics("rl", 0, {"alarm/gate": 1, "warning": text})
        if options.stop:
            raise ClarifyError(f"{text} (rl.gate.stop=false goes on in spite of it.)")
        tqdm.write(f"Warning before the first step: {text}")


def locked(episodes: Sequence[Episode], options: GateSection) -> list[str]:
    """What is wrong with a batch's asking, each in a sentence that says what to change; of free first replies only."""
    free = [item for item in episodes if item.measured and item.opening is None and not item.variant.is_clear]
    asked = sum(episode.asked for episode in free)
    if len(free) < _FEW:
        return []
    if asked < options.asks * len(free):
        return [
            f"Sampled, the policy asks in {asked} of {len(free)} unclear problems, so asking can hardly show its "
            "worth. Let SFT show more questions (data.sft.clear_share=0.3), or train it longer; where there is no SFT, "
            "add it."
        ]
    outcomes = [outcome for episode in free for outcome in episode.outcomes]
    understood = sum(outcome not in (Outcome.UNCLEAR, Outcome.BROAD, Outcome.LEAK) for outcome in outcomes)
    if len(outcomes) >= _FEW and understood < options.understood * len(outcomes):
        return [
            f"Sampled, the policy's questions are understood {understood} times in {len(outcomes)}, so asking will be "
            "unlearnt before it pays. Train SFT longer (sft.patience=3), or take a user that hears more: env.user=llm."
        ]
    return []
