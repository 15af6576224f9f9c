"""PPO (Schulman et al. 2017, arXiv 1707.06347) on the trainer of GRPO: same rollouts, same clipped loss, but a critic
and its advantage for every token in place of one advantage for an episode among its group.

An episode's reward comes with its last token; with rl.credit=to_go, what a turn earned by itself comes with the turn's
last one, so that the critic need not learn what is known, and code is not judged by the questions before it. Staying
near the reference model is TRL's `beta` term in the loss, as in GRPO, and not a part of the reward: its gradient is
exact, the critic need not learn it, and the two algorithms compare.
What it leaves out: a warm-up of the critic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback
from trl import GRPOConfig

from clarify_rl.config import Config
from clarify_rl.errors import ConfigError
from clarify_rl.rl_sections import PPOSection, RLSection
from clarify_rl.training.batches import trim
from clarify_rl.training.credit import token_rewards
from clarify_rl.training.critic import SaveCritic, attach, make_critic
from clarify_rl.training.gae import at_last_token, clipped_squares, explained_variance, gae, mean_and_std
from clarify_rl.training.grpo import DialogueGRPOTrainer, grpo_config
from clarify_rl.training.vllm import without_critic
from clarify_rl.types import Episode

Tensors = dict[str, Any]  # Any: TRL's tensors and scalars, by its own names


class DialoguePPOTrainer(DialogueGRPOTrainer):
    """DialogueGRPOTrainer with a critic.

    Overrides two methods of TRL, to give each token an advantage, and to add the critic's loss to the policy's, and one
    of transformers, to give the critic a learning rate of its own.
    """

    def __init__(
        self, *args: Any, options: PPOSection, by_turn: bool = False, **kwargs: Any
    ) -> None:  # Any: TRL's own signature
        self.options, self.by_turn = options, by_turn
        # Before TRL puts an adapter into the model, which a copy of it must not have.
        self.critic = make_critic(kwargs["model"], own=options.critic == "own")
        super().__init__(*args, **kwargs)
        self._backbone = attach(self.critic, self.model)
        if self.use_vllm:
            without_critic(self)

    def own_callbacks(self) -> tuple[TrainerCallback, ...]:
        return (SaveCritic(self.critic),)

    def save_own(self, folder: Path) -> None:
        self.critic.save(folder)

    def load_own(self, folder: Path) -> None:
        self.critic.load(folder)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:  # Any: transformers' own type
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        mine = list(self.critic.parameters())
        for group in optimizer.param_groups:
            group["params"] = [item for item in group["params"] if all(item is not other for other in mine)]
        rate = self.options.learning_rate or self.args.learning_rate
        optimizer.add_param_group({"params": mine, "lr": rate, "weight_decay": 0.0})
        return optimizer

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Tensors:  # Any: TRL's own types
        scored = super()._generate_and_score_completions(inputs)
        mask = _policy_mask(scored)
        rewards = self._rewards([row["episode"] for row in inputs], mask)
        came = gae(rewards, torch.zeros_like(rewards), mask, self.options.gamma, 1.0).returns
        if self.critic.untrained:
            self.critic.start_from(mean_and_std(came, mask, self._total)[0])
        values = self._old_values(scored) * mask
        estimate = gae(rewards, values, mask, self.options.gamma, self.options.gae_lambda)
        mean, std = mean_and_std(estimate.advantages, mask, self._total)
        self._note(came, values, mask, mean, std)
        whitened = (estimate.advantages - mean) / (std + 1e-8) * mask
        return {**scored, "advantages": whitened, "old_values": values, "returns": estimate.returns}

    def _rewards(self, episodes: Sequence[Episode], mask: torch.Tensor) -> torch.Tensor:
        """The reward of each episode at the tokens that it comes with, (B, T); a masked one has none."""
        if self.by_turn:
            return token_rewards(episodes, mask.shape[1]).to(self.accelerator.device)
        rewards = [episode.reward or 0.0 for episode in episodes]
        return at_last_token(torch.tensor(rewards, device=self.accelerator.device), mask)

    @torch.no_grad()
    def _old_values(self, scored: Tensors) -> torch.Tensor:
        """The critic's word on the rollouts before it learns from them, (B, T). Rows of like length go together."""
        values = torch.zeros(scored["completion_ids"].shape, device=self.accelerator.device)
        order = scored["completion_mask"].sum(1).argsort()
        for rows in order.split(self.args.per_device_train_batch_size):
            batch = trim({name: scored[name][rows] for name in _READ})
            ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
            attention = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
            with self.accelerator.autocast():
                all_values = self.critic(self._backbone, ids, attention)
            width = batch["completion_ids"].shape[1]
            values[rows, :width] = _of_completion(all_values, width)
        return values

    def _total(self, numbers: torch.Tensor) -> torch.Tensor:
        summed: torch.Tensor = self.accelerator.reduce(numbers, "sum")
        return summed

    def _note(
        self, came: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
    ) -> None:
        """Hands on what this batch says about the critic, judged by the rewards that came, not by its own estimates."""
        own = mask.bool()
        all_values, all_came = (torch.tensor(gather_object(tensor[own].tolist())) for tensor in (values, came))
        explained = explained_variance(all_values, all_came, torch.ones_like(all_came))
        self._rollouts.numbers = {
            **self._rollouts.numbers,
            "train/advantage_mean": mean.item(),
            "train/advantage_std": std.item(),
            "train/value_mean": float(all_values.sum() / max(1, len(all_values))),
            **({} if explained is None else {"train/explained_variance": explained}),
        }

    def _compute_loss(self, model: Any, inputs: Tensors) -> torch.Tensor:  # Any: TRL's own type
        with self.critic.watching(self._backbone) as seen:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        (all_values,) = seen
        mask, old, returns = _policy_mask(inputs), inputs["old_values"], inputs["returns"]
        values = _of_completion(all_values, mask.shape[1])
        squares = clipped_squares(values, old, returns, self.options.value_clip) * mask
        self._log_value_loss(squares, values, old, mask)
        return loss + self.options.value_weight * squares.sum() / self._tokens_an_update(inputs)

    def _tokens_an_update(self, inputs: Tensors) -> torch.Tensor:
        """The policy's tokens that one update learns from, for each process, so that each token counts the same."""
        tokens: torch.Tensor = inputs["num_items_in_batch"].clamp(min=1) / self.accelerator.num_processes
        if self.model.training:
            tokens = tokens * self.current_gradient_accumulation_steps / self.args.steps_per_generation
        return tokens

    @torch.no_grad()
    def _log_value_loss(
        self, squares: torch.Tensor, values: torch.Tensor, old: torch.Tensor, mask: torch.Tensor
    ) -> None:
        moved = (values - old).abs() > (self.options.value_clip or torch.inf)
        loss, clipped, count = self._total(torch.stack([squares.sum(), (moved * mask).sum(), mask.sum()])).tolist()
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["value_loss"].append(loss / max(1, count))
        metrics["value_clip_ratio"].append(clipped / max(1, count))


_READ = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")


def _policy_mask(batch: Tensors) -> torch.Tensor:
    """1 on the tokens that the policy chose in episodes that were measured, (B, T)."""
    mask: torch.Tensor = batch["completion_mask"] * batch["tool_mask"]
    return mask


def _of_completion(values: torch.Tensor, width: int) -> torch.Tensor:
    """The value before each of the last `width` tokens was chosen: it is read off the token in front."""
    return values[:, -width - 1 : -1]


_LOSSES = ("bnpo", "dapo", "dr_grpo", "grpo")  # TRL's names for averages of the clipped loss over tokens
_OF_GROUPS = ("multi_objective_aggregation", "scale_rewards")


def ppo_config(config: Config, section: RLSection, out: Path) -> GRPOConfig:
    """TRL's options; those that PPO has no use for are refused."""
    options = section.trainer
    for name in _OF_GROUPS:
        if name in options:
            raise ConfigError(f"rl.trainer.{name} compares episodes of one group, which PPO does not. Leave it out.")
    if options.get("num_generations", 2) == 1:
        raise ConfigError(
            "rl.trainer.num_generations=1: TRL takes no less than 2. PPO compares no groups, so it is only how many "
            "episodes of a batch share a prompt; take 2."
        )
    # The values leave the forward pass beside its output, so a search from there would take the critic for unused.
    alone = {"ddp_find_unused_parameters": False}
    shared = grpo_config(config, section.model_copy(update={"trainer": {**alone, **options}}), out)
    if shared.loss_type not in _LOSSES:
        raise ConfigError(
            f"rl.trainer.loss_type={shared.loss_type} is not PPO's clipped loss. Take one of {', '.join(_LOSSES)}."
        )
    if shared.importance_sampling_level != "token":
        raise ConfigError("rl.trainer.importance_sampling_level: PPO's advantages are those of tokens; leave it out.")
    if shared.ddp_find_unused_parameters:
        raise ConfigError("rl.trainer.ddp_find_unused_parameters: the critic needs it to be false; leave it out.")
    return shared
