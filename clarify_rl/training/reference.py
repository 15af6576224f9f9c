"""The reference of the KL term, where it is a model of its own: what TRL can read as one, and one that moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig
from trl.trainer.callbacks import SyncRefModelCallback

from clarify_rl.errors import ConfigError
from clarify_rl.sections import Lora

_FILE = "reference.safetensors"


def check_reference(name: str, lora: Lora, args: GRPOConfig) -> None:
    """ConfigError for a model that TRL cannot read a second time by its name, as the reference."""
    if args.beta and lora is None and name.endswith(".gguf"):
        raise ConfigError(
            f"rl.trainer.beta={args.beta:g}: the reference model is read from its folder, and {name} is none. First: "
            f"clarify-rl export {name} --out base. Then: model.base=base. Or train an adapter, whose reference is the "
            "model without it: rl.lora.r=16 rl.lora.target_modules=all-linear"
        )


class MoveReference(TrainerCallback):
    """Moves the reference after the policy every few steps (TR-DPO, Gorbatovski et al. 2024, arXiv 2404.09656).

    TRL's own callback takes a critic for a part of the policy, and leaves the moved reference out of checkpoints.
    """

    def __init__(self, reference: torch.nn.Module) -> None:
        self.reference = reference

    @torch.no_grad()
    def on_step_end(
        self, args: GRPOConfig, state: TrainerState, control: Any, model: Any = None, **_: Any
    ) -> None:  # Any: transformers'
        if state.global_step % args.ref_model_sync_steps:
            return
        policy = dict(model.named_parameters())
        for name, weight in self.reference.named_parameters():
            weight.lerp_(policy[name], args.ref_model_mixup_alpha)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any) -> None:  # Any: as above
        if state.is_world_process_zero:
            weights = {name: weight.detach().cpu().contiguous() for name, weight in self.reference.named_parameters()}
            save_file(weights, Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" / _FILE)

    @torch.no_grad()
    def load(self, checkpoint: Path) -> None:
        saved = load_file(checkpoint / _FILE)
        for name, weight in self.reference.named_parameters():
            weight.copy_(saved[name])


def move_reference(trainer: Any, newest: str | None) -> None:  # Any: TRL's trainer
    """Where rl.trainer.sync_ref_model asks for it, puts MoveReference in the place of TRL's callback.

    `newest` is the checkpoint to go on from. Call it before the callback that marks a checkpoint as complete is added.
    """
    if not trainer.args.sync_ref_model:
        return
    trainer.remove_callback(SyncRefModelCallback)
    mover = MoveReference(trainer.ref_model)
    if newest:
        mover.load(Path(newest))
    trainer.add_callback(mover)
