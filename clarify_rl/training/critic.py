"""The critic of PPO: how much reward an episode will still bring, told at each of its tokens.

It lives inside the policy's module, so that one optimizer, and one wrapper of several processes, hold both; but a saved
policy never contains it: `critic.safetensors` lies beside the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

FILE = "critic.safetensors"


class Critic(nn.Module):
    """A value head on the policy's backbone, or on `backbone`, one of its own. Untrained, it says 0 everywhere."""

    def __init__(self, hidden_size: int, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.value_head = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    def forward(self, policy: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """V (B, T) before each next token is chosen. `policy` is the policy's backbone."""
        trunk = self.backbone or policy
        states = trunk(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        return self._values(states)

    @property
    def untrained(self) -> bool:
        return not (self.value_head.weight.any() or self.value_head.bias.any())

    @torch.no_grad()
    def start_from(self, mean: torch.Tensor) -> None:
        """Says `mean` everywhere. From 0, it would first learn the mean alone, and pull a shared backbone along."""
        self.value_head.bias.fill_(mean)

    def _values(self, states: torch.Tensor) -> torch.Tensor:
        # Half precision would round away the small differences that advantages are made of.
        with torch.autocast(states.device.type, enabled=False):
            values: torch.Tensor = self.value_head(states.float())
        return values.squeeze(-1)

    @contextmanager
    def watching(self, policy: nn.Module) -> Iterator[list[torch.Tensor]]:
        """Values of everything that the policy's backbone reads meanwhile, computed within the forward pass itself."""
        seen: list[torch.Tensor] = []

        def watch(_: nn.Module, args: object, inputs: dict[str, Any], out: Any) -> None:  # Any: transformers'
            if self.backbone is None:
                seen.append(self._values(out.last_hidden_state))
            else:
                seen.append(self(policy, inputs["input_ids"], inputs["attention_mask"]))

        handle = policy.register_forward_hook(watch, with_kwargs=True)
        try:
            yield seen
        finally:
            handle.remove()

    def save(self, folder: Path) -> None:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}, folder / FILE
        )

    def load(self, folder: Path) -> None:
        self.load_state_dict(load_file(folder / FILE))


class SaveCritic(TrainerCallback):
    """Writes the critic into each checkpoint of the policy."""

    def __init__(self, critic: Critic) -> None:
        self.critic = critic

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any
    ) -> None:  # Any: transformers'
        if state.is_world_process_zero:
            self.critic.save(Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")


def make_critic(model: PreTrainedModel | PeftModel, *, own: bool) -> Critic:
    """A critic for a policy that starts from `model`; `own`: with a backbone of its own, a copy of the model's."""
    hidden_size: int = model.config.get_text_config().hidden_size
    if not own:
        return Critic(hidden_size)
    start = copy.deepcopy(model)
    if isinstance(start, PeftModel):
        start = start.merge_and_unload()
    return Critic(hidden_size, start.base_model.requires_grad_(True))


def attach(critic: Critic, model: PreTrainedModel | PeftModel) -> nn.Module:
    """Makes the critic a part of `model`, trained with it but never saved in it, and returns the model's backbone."""
    policy: Any = model.get_base_model() if isinstance(model, PeftModel) else model  # Any: no types in transformers
    policy.critic = critic.to(policy.device)
    unsaved = {f"critic.{name}" for name in critic.state_dict()}
    policy._keys_to_ignore_on_save = {*(policy._keys_to_ignore_on_save or ()), *unsaved}
    backbone: nn.Module = policy.base_model
    return backbone
