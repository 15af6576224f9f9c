"""SFT on demonstrations: TRL's SFTTrainer on the dialogue loop's own token ids, loss on the policy's turns only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import EarlyStoppingCallback, PrinterCallback
from trl import SFTConfig, SFTTrainer

from clarify_rl.config import Options, SFTSection
from clarify_rl.errors import ConfigError
from clarify_rl.policies.models import LoadedModel
from clarify_rl.store import Run
from clarify_rl.training.adapters import adapter_for, naming
from clarify_rl.training.checkpoints import MarkComplete, check_saving, newest_checkpoint, save_model, train_from
from clarify_rl.training.progress import RecordProgress, check_reporters, no_extra
from clarify_rl.training.start import CheckStart
from clarify_rl.types import Episode


def train_sft(
    loaded: LoadedModel,
    demonstrations: Sequence[Episode],
    held_out: Sequence[Episode],
    section: SFTSection,
    run: Run,
    seed: int,
) -> Path:
    """Trains until the held-out loss stops falling, and writes the best checkpoint to the run's models/sft."""
    checkpoints = run.folder / "checkpoints" / "sft"
    with naming("sft.lora"):
        trainer = SFTTrainer(
            model=loaded.model,
            args=sft_config(section, checkpoints, seed),
            train_dataset=to_dataset(demonstrations),
            eval_dataset=to_dataset(held_out),
            processing_class=loaded.tokenizer,
            peft_config=adapter_for("sft.lora", section.lora, loaded.model),
            callbacks=[
                RecordProgress(run, "sft", {"loss": "train/loss", "held-out loss": "eval/loss"}, no_extra),
                EarlyStoppingCallback(section.patience),
                MarkComplete(),
            ],
        )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(CheckStart(trainer))
    newest = newest_checkpoint(checkpoints)
    run.drop_metrics("sft", from_step=int(newest.rpartition("-")[2]) + 1 if newest else 0)
    train_from(trainer, newest)
    return save_model(trainer.model, loaded.tokenizer, run.model_folder("sft"))


def sft_config(section: SFTSection, out: Path, seed: int) -> SFTConfig:
    made: SFTConfig = trainer_config(SFTConfig, "sft.trainer", section.trainer, out, seed)
    check_saving("sft.trainer", made)
    return made


def to_dataset(episodes: Sequence[Episode]) -> Dataset:
    """Columns `input_ids` and `assistant_masks` (1 on the policy's tokens, else 0), one row an episode."""
    return Dataset.from_dict(
        {
            "input_ids": [[*episode.prompt_ids, *episode.completion_ids] for episode in episodes],
            "assistant_masks": [[0] * len(episode.prompt_ids) + list(episode.policy_mask) for episode in episodes],
        }
    )


def trainer_config(kind: type[Any], where: str, options: Options, out: Path, seed: int) -> Any:  # Any: TRL's classes
    """A trainer's own configuration. Raises ConfigError for an option that TRL does not know or does not take."""
    gpu = torch.cuda.is_available()
    # TRL takes bf16 for granted; without a GPU it must be told otherwise.
    machine = {"use_cpu": not gpu, "bf16": gpu, "dataloader_pin_memory": gpu}
    ours = {"output_dir": str(out), "seed": seed, "disable_tqdm": True, "report_to": "none", **machine}
    # YAML reads a bare `no` as false, and the strategies have no other use for it.
    meant = {name: "no" if value is False and name.endswith("_strategy") else value for name, value in options.items()}
    try:
        made = kind(**{**ours, **meant})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}. These options are those of TRL's {kind.__name__}.") from error
    check_reporters(where, made.report_to)
    return made
