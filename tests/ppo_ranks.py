"""Run by torchrun: one update of PPO on several processes, held against a plain model that sees all their episodes.

python -m torch.distributed.run --nproc_per_node 2 tests/ppo_ranks.py FOLDER shared
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object

from tests.ppo_world import World, make_trainer
from tests.unit.test_ppo import OPTIONS, Recorder, lost_at_1, plain_loss

RATE = 1e-3


@dataclasses.dataclass
class OtherWorld(World):
    """Every process has episodes of its own."""

    def _speak(self, trainer: Any, contexts: Any, step: int, turn: int) -> list[tuple[int, ...]]:  # Any: as in World
        return super()._speak(trainer, contexts, step + 7 * trainer.accelerator.process_index, turn)


def main(folder: Path, critic: str) -> None:
    """Writes down how far the processes are from the plain gradient, and from each other."""
    options, world = OPTIONS.model_copy(update={"critic": critic}), OtherWorld(lost_at_1)
    plain_steps = {"optim": "sgd", "learning_rate": RATE, "max_grad_norm": 0.0}
    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    trainer = make_trainer(folder, world, options, Recorder, ddp_backend="gloo", **plain_steps, **cut)
    assert isinstance(trainer, Recorder)
    trainer.train()
    episodes = gather_object(world.episodes[0])
    before, after = trainer.seen[0].model, trainer.accelerator.unwrap_model(trainer.model)
    wanted = plain_loss(before, before, [episode for episode in episodes if episode.reward is not None], options)
    gradients = torch.autograd.grad(wanted, list(before.parameters()), materialize_grads=True)
    moved = [(old - new).detach() / RATE for old, new in zip(before.parameters(), after.parameters(), strict=True)]
    errors = [float((found - right).abs().max()) for found, right in zip(moved, gradients, strict=True)]
    sums = gather_object([sum(float(weight.double().sum()) for weight in after.parameters())])
    told = {
        "episodes": len({episode.completion_ids for episode in episodes}),
        "largest": max(float(gradient.abs().max()) for gradient in gradients),
        "error": max(errors),
        "equal": len(set(sums)) == 1,
    }
    if trainer.accelerator.is_main_process:
        (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    # Gloo aborts a process whose peer has gone while it still reads from it, so both leave together.
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
