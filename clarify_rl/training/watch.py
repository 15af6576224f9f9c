"""Everything that watches an RL run, put together in one place for GRPO and PPO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from clarify_rl.config import Config
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run
from clarify_rl.training import held_out
from clarify_rl.training.health import WatchHealth
from clarify_rl.training.progress import RecordProgress, put_first
from clarify_rl.training.time_optimizer import TimeOptimizer

# What stands beside the progress bar, of what a run measures.
SHOWN = {
    "reward": "reward/total",
    "solved": "episode/solved",
    "ask": "episode/asked_unclear",
    "false ask": "episode/asked_clear",
    "held-out solved": "eval/solved",
    "kl": "train/kl",
    "value loss": "train/value_loss",
    "explained": "train/explained_variance",
    "tokens/s": "rollout/tokens_per_s",
    "generate s": "time/generate_s",
    "env s": "time/env_s",
    "update s": "time/update_s",
}


class Watched(held_out.Surroundings, Protocol):
    """The rollouts of training, and the numbers of their newest batch."""

    numbers: Mapping[str, float]


def watch_training(
    trainer: Any, rollouts: Watched, config: Config, run: Run
) -> None:  # Any: TRL's trainer has no types
    """Adds a progress bar and record, health warnings and, if asked for, held-out evaluation. Call it last of all.

    What is kept of the best policy is cleared when a checkpoint is complete, so its callback comes behind the others.
    """
    progress = RecordProgress(run, "rl", SHOWN, lambda: {**rollouts.numbers, **trainer.timeline.take()})
    put_first(trainer, progress, WatchHealth(progress, run, config), TimeOptimizer(trainer.timeline))
    if (config.rl or RLSection()).evaluation.every:
        variants = run.read_variants("rl_dev")
        trainer.add_callback(held_out.HeldOut(variants, rollouts, config, run, trainer))


def take_best(trainer: Any, config: Config, run: Run) -> None:  # Any: as above
    """Leaves the best evaluated policy in the trainer's model; the last one where nothing was evaluated."""
    if (config.rl or RLSection()).evaluation.every:
        held_out.restore_best(trainer.model, config, run)
