"""What PPO computes from rewards and values, as pure functions of tensors (B episodes, T completion tokens).

Only tokens with `mask` 1, the policy's own, are steps of an episode. What the user says between two of them is the
environment's part of one transition: the last token of a turn is followed by the first token of the next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Estimate:
    """Advantages for the policy and targets for the critic, (B, T); 0 where `mask` is."""

    advantages: torch.Tensor
    returns: torch.Tensor


def at_last_token(rewards_B: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Each episode's reward at its last policy token, 0 elsewhere; an episode without a policy token has none."""
    last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(1, keepdim=True)
    return torch.zeros(mask.shape, device=mask.device).scatter(1, last, rewards_B[:, None]) * mask


def gae(rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, gae_lambda: float) -> Estimate:
    """Generalized advantage estimation (Schulman et al. 2016, arXiv 1506.02438), over the policy's tokens only."""
    advantages = torch.zeros_like(values)
    next_value = next_advantage = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        own = mask[:, t].bool()
        advantage = rewards[:, t] + gamma * next_value - values[:, t] + gamma * gae_lambda * next_advantage
        advantages[:, t] = torch.where(own, advantage, 0.0)
        next_advantage = torch.where(own, advantage, next_advantage)
        next_value = torch.where(own, values[:, t], next_value)
    return Estimate(advantages, (advantages + values) * mask)


def mean_and_std(
    numbers: torch.Tensor, mask: torch.Tensor, total: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Over the policy's tokens of all processes; `total` adds a tensor up over them."""
    summed, count = total(torch.stack([(numbers * mask).sum(), mask.sum()]))
    mean = summed / count.clamp(min=1)
    squares = total((((numbers - mean) * mask) ** 2).sum())
    return mean, (squares / count.clamp(min=1)).sqrt()


def clipped_squares(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip: float | None
) -> torch.Tensor:
    """Half the squared error at each token, of the value or of its clipped self, whichever is worse."""
    squares = (values - returns) ** 2
    if clip is not None:
        clipped = old_values + (values - old_values).clamp(-clip, clip)
        squares = torch.max(squares, (clipped - returns) ** 2)
    return squares / 2


def explained_variance(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> float | None:
    """1 for a critic that knows every return, 0 for one that knows their mean; None where all returns are equal."""
    own = mask.bool()
    if not own.any() or (variance := returns[own].var(correction=0)) < 1e-8:
        return None
    return float(1 - (returns - values)[own].var(correction=0) / variance)
