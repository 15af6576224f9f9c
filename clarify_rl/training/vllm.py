"""Rollouts by vLLM, in the trainer's processes or behind `trl vllm-serve`, through TRL, which keeps its weights new.

TRL compares the log-probabilities that vLLM sampled with to the trainer's own, and corrects the loss for what differs.
What it leaves out: seeds of each request, so a resumed run samples otherwise than one that was not interrupted.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from trl import GRPOConfig

from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.policies.models import EMBEDDED
from clarify_rl.rl_sections import RLSection
from clarify_rl.types import Request, Sample


@dataclass(frozen=True)
class VLLMPolicy:
    """Samples from the vLLM of `trainer`, after TRL has given it the newest weights. `end_ids` end a turn."""

    trainer: Any  # Any: TRL's GRPOTrainer
    end_ids: frozenset[int]

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request, in order. Calls of all processes belong together where `in_lockstep`."""
        budgets = [request.max_new_tokens for request in requests]
        contexts = [list(request.context) for request in requests]
        with self._up_to(max(budgets, default=1)):
            ids, logprobs = self.trainer._generate_single_turn(contexts, None, {}, num_generations=1)
        return [self._sample(*row) for row in zip(ids, logprobs, budgets, strict=True)]

    @contextmanager
    def _up_to(self, tokens: int) -> Iterator[None]:
        """vLLM takes one budget for all requests of a call; TRL's own is that of a whole dialogue."""
        engine = self.trainer.vllm_generation
        before = engine.max_completion_length, engine.generation_kwargs
        engine.max_completion_length = tokens
        engine.generation_kwargs = {**engine.generation_kwargs, "stop_token_ids": sorted(self.end_ids)}
        try:
            yield
        finally:
            engine.max_completion_length, engine.generation_kwargs = before

    def _sample(self, ids: Sequence[int], logprobs: Sequence[float | None], budget: int) -> Sample:
        """Cut to its own budget, which is what sampling with that budget would have given."""
        kept = tuple(ids[:budget])
        if any(logprob is not None and math.isnan(logprob) for logprob in logprobs[:budget]):
            raise ClarifyError(
                "vLLM gives log-probabilities that are not numbers, so the policy's logits are not finite. Likely "
                "causes: half precision (leave rl.trainer.use_vllm out to see), or weights that training has spoiled: "
                "--resume goes on from the last checkpoint."
            )
        filled = tuple(
            float("nan") if logprob is None else logprob for logprob in logprobs[:budget]
        )  # TRL passes over a NaN
        return Sample(kept, filled, bool(kept) and kept[-1] in self.end_ids)


def in_lockstep(trainer: Any) -> bool:  # Any: TRL's trainer
    """Whether processes share an engine, so that each call needs all of them."""
    return bool(trainer.use_vllm and shares_engine(trainer.args) and trainer.accelerator.num_processes > 1)


def shares_engine(args: GRPOConfig) -> bool:
    """Whether several processes, where there are several, would have one vLLM."""
    return bool(args.vllm_mode == "server" or args.vllm_tensor_parallel_size > 1)


def within(limits: DialogueLimits, args: GRPOConfig) -> DialogueLimits:
    """The budgets, within the context that vLLM was given: it refuses a longer prompt together with all others."""
    if not args.use_vllm or args.vllm_max_model_length is None:
        return limits
    return replace(limits, context_tokens=min(limits.context_tokens, args.vllm_max_model_length))


def check_vllm(section: RLSection, args: GRPOConfig) -> None:
    """ConfigError where generation by vLLM is wanted and cannot be."""
    if not args.use_vllm:
        return
    if not installed():
        raise ConfigError('rl.trainer.use_vllm needs vLLM: pip install "clarify-rl[vllm]"')
    if section.algorithm == "ppo":
        raise ConfigError(
            "rl.trainer.use_vllm: TRL hands vLLM every weight of the module, and PPO's critic is one of them. Take "
            "rl.algorithm=grpo, or leave use_vllm out."
        )


def installed() -> bool:
    return importlib.util.find_spec("vllm") is not None


def check_model(name: str, args: GRPOConfig) -> None:
    """ConfigError for a model, an adapter's base, that vLLM cannot load by its name."""
    if args.use_vllm and (name == EMBEDDED or name.endswith(".gguf")):
        raise ConfigError(
            f"rl.trainer.use_vllm: vLLM loads the model from its folder, and {name} is none. First: clarify-rl export "
            f"{name} --out base. Then: model.base=base"
        )
