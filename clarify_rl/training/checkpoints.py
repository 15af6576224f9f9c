"""Finding and writing checkpoints: the newest complete one to go on from, and a plain folder that anyone can load."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch.distributed
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint

from clarify_rl.errors import ConfigError
from clarify_rl.policies.finite import require_finite
from clarify_rl.training.adapters import ADAPTER, merged
from clarify_rl.training.progress import reporting

COMPLETE = "COMPLETE"


class MarkComplete(TrainerCallback):
    """Writes a file into each checkpoint when every process has written its part of it to disk.

    transformers writes a checkpoint file by file, so one that a crash cut short looks like a whole one.
    """

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any
    ) -> None:  # Any: transformers'
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            for path in folder.iterdir():
                flush(path)
            (folder / COMPLETE).touch()
            flush(folder)


def flush(path: Path) -> None:
    """Has the operating system write a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_saving(where: str, args: TrainingArguments, micro_batches: int = 1) -> None:
    """ConfigError for options under which a crash could leave no checkpoint, or one that does not continue exactly.

    `micro_batches`: how many of them one batch of episodes lasts.
    """
    if args.save_total_limit == 1:
        raise ConfigError(
            f"{where}.save_total_limit=1 deletes the old checkpoint before the new one is complete. Take 2 or more."
        )
    for name, lost in _KEPT.items():
        if getattr(args, name):
            raise ConfigError(f"{where}.{name}: a resumed run would start {lost} anew, and differ. Leave it out.")
    if args.save_strategy != "steps":
        return
    steps, rest = divmod(micro_batches, args.gradient_accumulation_steps)
    if steps and rest:
        raise ConfigError(
            f"{where}.gradient_accumulation_steps={args.gradient_accumulation_steps}: a batch of episodes lasts "
            f"{micro_batches} micro-batches (steps_per_generation times num_iterations), so a checkpoint could fall in "
            f"the middle of one. Let gradient_accumulation_steps divide {micro_batches}, or be a multiple of it."
        )
    if steps > 1 and args.save_steps % steps:
        raise ConfigError(
            f"{where}.save_steps={args.save_steps:g} would save in the middle of a batch of episodes, which lasts "
            f"{steps} steps. Take a multiple of {steps}."
        )


_KEPT = {"save_only_model": "the optimizer", "ignore_data_skip": "the order of the data"}


def newest_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint in `folder`, or None. Removes what a crash left incomplete.

    Of several learners the first one looks, and tells the others.
    """
    checkpoint = [_look(folder) if is_first() else None]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(checkpoint, device=_device())
    return checkpoint[0]


def is_first() -> bool:
    """Whether this process is the only learner, or the one among several that writes."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def _device() -> torch.device:
    """Where the learners' messages to each other go through: NCCL sends from GPUs only."""
    return torch.device("cuda" if torch.distributed.get_backend() == "nccl" else "cpu")


def _look(folder: Path) -> str | None:
    if not folder.is_dir():
        return None
    for broken in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if not (broken / COMPLETE).exists():
            shutil.rmtree(broken)
    newest: str | None = get_last_checkpoint(str(folder))
    return newest


def train_from(trainer: Any, checkpoint: str | None) -> None:  # Any: a trainer of transformers
    """Trains to the end from a checkpoint of `newest_checkpoint`, or from the start.

    A checkpoint of the last step is only loaded, or the best one in its place where the trainer would load that at the
    end: transformers goes on from it with one more step.
    """
    state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME)) if checkpoint else None
    if state is None or not _ended(state):
        with reporting(trainer.args.report_to):
            trainer.train(resume_from_checkpoint=checkpoint)
        return
    best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer._load_from_checkpoint(str(Path(str(checkpoint)).with_name(Path(best).name)) if best else checkpoint)


def _ended(state: TrainerState) -> bool:
    """Whether training ended with this step: it was the last one, or a callback had asked for it, as for patience."""
    control = state.stateful_callbacks.get("TrainerControl", {}).get("args", {})
    return bool(state.global_step >= state.max_steps or control.get("should_training_stop"))


def save_model(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Writes a plain causal LM with its tokenizer; an adapter is kept beside it in `adapter/` and merged into it.

    Of several learners, whose weights are equal, the first one writes. Raises ClarifyError for weights that are not
    finite, and writes nothing.
    """
    if not is_first():
        return folder
    require_finite(model, folder)
    if isinstance(model, PeftModel):
        model.save_pretrained(str(folder / ADAPTER), selected_adapters=["default"])  # without TRL's copy, the reference
        tokenizer.save_pretrained(str(folder / ADAPTER))
        model = merged(model, folder / ADAPTER)
    model.config.use_cache = True  # the trainer turned it off for its own forward passes; whoever generates wants it
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
