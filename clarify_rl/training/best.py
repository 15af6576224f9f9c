"""The best weights of a stage so far, kept apart from the checkpoints that it resumes from, which come and go.

Kept is what training changes: all weights, or an adapter, and PPO's critic, which is a part of the policy's module.
What it leaves out: weights that are spread over processes (FSDP, ZeRO-3).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from clarify_rl.errors import RunFolderError
from clarify_rl.policies.finite import require_finite
from clarify_rl.training.checkpoints import COMPLETE, flush

_FILE = "weights.safetensors"


def keep_weights(model: Any, folder: Path, step: int) -> None:  # Any: a model of transformers or peft
    """Writes the trained weights to `folder`/step-N, whole or not at all; not finite ones are a ClarifyError."""
    final, temporary = _of_step(folder, step), folder / f".step-{step}.tmp"
    for path in (temporary, final):
        shutil.rmtree(path, ignore_errors=True)
    temporary.mkdir(parents=True)
    require_finite(model, final)
    weights = {name: weight.detach().cpu().contiguous() for name, weight in _trained(model).items()}
    save_file(weights, temporary / _FILE)
    (temporary / COMPLETE).touch()
    flush(temporary / _FILE)
    flush(temporary)
    temporary.rename(final)
    flush(folder)


@torch.no_grad()
def restore_weights(model: Any, folder: Path, step: int) -> None:  # Any: as above
    """Puts the weights of `step` back into `model`. Raises RunFolderError when they are not there."""
    kept = _of_step(folder, step)
    if not (kept / COMPLETE).exists():
        raise RunFolderError(f"The weights of step {step} are gone: {kept} is missing. Start a new run with name=...")
    weights = load_file(kept / _FILE)
    for name, weight in _trained(model).items():
        weight.copy_(weights[name])


def keep_only(folder: Path, steps: Collection[int]) -> None:
    """Removes the weights of all other steps, and what a crash left incomplete."""
    keep = {_of_step(folder, step) for step in steps}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path not in keep or not (path / COMPLETE).exists():
            shutil.rmtree(path)


def _of_step(folder: Path, step: int) -> Path:
    return folder / f"step-{step}"


def _trained(model: Any) -> dict[str, torch.Tensor]:  # Any: as above
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
