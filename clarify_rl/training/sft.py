"""SFT on demonstrations: TRL's SFTTrainer on the dialogue loop's own token ids, loss on the policy's turns only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback
from trl import SFTConfig, SFTTrainer

from clarify_rl.config import SFTSection
from clarify_rl.policies.models import LoadedModel
from clarify_rl.store import Run
from clarify_rl.training.adapters import adapter_for, naming
from clarify_rl.training.checkpoints import MarkComplete, check_saving, newest_checkpoint, save_model, train_from
from clarify_rl.training.finite import FiniteCheckpoints, FiniteSteps
from clarify_rl.training.options import trainer_config
from clarify_rl.training.progress import RecordProgress, no_extra
from clarify_rl.training.start import CheckStart
from clarify_rl.types import Episode


class _SFTTrainer(FiniteSteps, SFTTrainer):
    """TRL's SFTTrainer, which stops at a loss or gradient that is not finite."""


def train_sft(
    loaded: LoadedModel,
    demonstrations: Sequence[Episode],
    held_out: Sequence[Episode],
    section: SFTSection,
    run: Run,
    seed: int,
) -> Path:
    """Trains until the held-out loss stops falling, and writes the best checkpoint to the run's models/sft.

    Options without evaluation (`eval_strategy: no`, no best model) train to the last step.
    """
    checkpoints = run.folder / "checkpoints" / "sft"
    args = sft_config(section, checkpoints, seed)
    stops = args.eval_strategy != "no" and args.metric_for_best_model is not None
    with naming("sft.lora"):
        trainer = _SFTTrainer(
            model=loaded.model,
            args=args,
            train_dataset=to_dataset(demonstrations),
            eval_dataset=to_dataset(held_out),
            processing_class=loaded.tokenizer,
            peft_config=adapter_for("sft.lora", section.lora, loaded.model),
            callbacks=[
                RecordProgress(run, "sft", {"loss": "train/loss", "held-out loss": "eval/loss"}, no_extra),
                *([EarlyStoppingCallback(section.patience)] if stops else []),
                FiniteCheckpoints(),
                MarkComplete(),
            ],
        )
    trainer.kept_in, trainer.where = run.folder / "not-finite", "sft.trainer"
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(CheckStart(trainer))
    newest = newest_checkpoint(checkpoints)
    run.drop_metrics("sft", from_step=int(newest.rpartition("-")[2]) + 1 if newest else 0)
    train_from(trainer, newest)
    return save_model(trainer.model, loaded.tokenizer, run.model_folder("sft"))


def sft_config(section: SFTSection, out: Path, seed: int) -> SFTConfig:
    patience = {"restore_callback_states_from_checkpoint": True}  # how many evaluations brought no progress so far
    trainer_options: SFTConfig = trainer_config(SFTConfig, "sft.trainer", {**patience, **section.trainer}, out, seed)
    check_saving("sft.trainer", trainer_options)
    return trainer_options


def to_dataset(episodes: Sequence[Episode]) -> Dataset:
    """Columns `input_ids` and `assistant_masks` (1 on the policy's tokens, else 0), one row an episode."""
    return Dataset.from_dict(
        {
            "input_ids": [[*episode.prompt_ids, *episode.completion_ids] for episode in episodes],
            "assistant_masks": [[0] * len(episode.prompt_ids) + list(episode.policy_mask) for episode in episodes],
        }
    )
