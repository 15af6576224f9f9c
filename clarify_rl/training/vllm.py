"""Rollouts by vLLM, in the trainer's processes or behind `trl vllm-serve`, through TRL, which keeps its weights new.

TRL compares the log-probabilities that vLLM sampled with to the trainer's own, and corrects the loss for what differs.
In the trainer's own process each request has a seed (where requests come together, each call), so a run that is resumed
samples as one that was not interrupted, as far as vLLM computes the same twice. What it leaves out: seeds of a server.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from trl import GRPOConfig
from trl.generation import vllm_generation

from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.engines import INSTALL, Engine, unnamed, vllm_installed
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.policies.vllm import EngineStream, half_or_single, sampled_logprobs, seed_of
from clarify_rl.sections import Options
from clarify_rl.seeds import derive_seed
from clarify_rl.types import Request, Sample

_ROUND = 64
_PLACE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # which TRL sets for an engine
CRITIC = "critic."  # what the names of PPO's critic begin with, which is a part of the policy's module


@dataclass(frozen=True)
class TrainedVLLMPolicy:
    """Samples from the vLLM of `trainer`, after TRL has given it the newest weights. `end_ids` end a turn.

    `temperature`: where it is not that of training, e.g. 0 for held-out evaluation.
    """

    trainer: Any  # Any: TRL's GRPOTrainer
    end_ids: frozenset[int]
    temperature: float | None = None

    def stream(self) -> AbstractContextManager[EngineStream] | None:
        """Of the engine in this process. None where processes share one, or TRL puts a grammar on what it samples."""
        engine = self.trainer.vllm_generation
        if shares_engine(self.trainer.args) or engine.structured_outputs_regex is not None:
            return None
        return self._stream()

    @contextmanager
    def _stream(self) -> Iterator[EngineStream]:
        with self._awake() as llm, EngineStream(llm, self._settings, self._streamed) as stream:
            yield stream

    @contextmanager
    def _awake(self) -> Iterator[Any]:  # Any: vLLM's LLM
        """The engine with the newest weights, as TRL wakes it for a call and puts it to sleep behind it."""
        trainer, engine = self.trainer, self.trainer.vllm_generation
        asleep = engine.enable_sleep_mode and engine._llm_weights_sleeping
        if trainer.state.global_step != trainer._last_loaded_step or asleep:
            engine.sync_weights()
            trainer._last_loaded_step = trainer.state.global_step
        if engine.enable_sleep_mode:
            engine.llm.wake_up(tags=["kv_cache"])
        try:
            yield engine.llm
        finally:
            if engine.enable_sleep_mode:
                engine.llm.sleep(level=2)
                engine._llm_weights_sleeping = True

    def _settings(self, request: Request) -> Any:  # Any: vLLM's SamplingParams
        """As TRL sets them, with the request's own budget and seed."""
        import vllm

        engine = self.trainer.vllm_generation
        temperature = engine.temperature if self.temperature is None else self.temperature
        return vllm.SamplingParams(
            **{
                "repetition_penalty": engine.repetition_penalty,
                "temperature": temperature,
                "top_p": engine.top_p,
                "top_k": engine.top_k,
                "min_p": 0.0 if engine.min_p is None else engine.min_p,
                "max_tokens": request.max_new_tokens,
                "logprobs": 0,
                "seed": None if temperature == 0 else seed_of(request),
                **engine.generation_kwargs,
                "stop_token_ids": sorted(self.end_ids),
            }
        )

    def _streamed(self, output: Any) -> Sample:  # Any: vLLM's CompletionOutput
        return self._sample(output.token_ids, sampled_logprobs(output), len(output.token_ids))

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request, in order. Calls of all processes belong together where `in_lockstep`."""
        budgets = [request.max_new_tokens for request in requests]
        contexts = [list(request.context) for request in requests]
        with self._up_to(max(budgets, default=1)), self._seeded(requests):
            ids, logprobs = self.trainer._generate_single_turn(contexts, None, {}, num_generations=1)
        return [self._sample(*row) for row in zip(ids, logprobs, budgets, strict=True)]

    @contextmanager
    def _up_to(self, tokens: int) -> Iterator[None]:
        """vLLM takes one budget for all requests of a call; TRL's own is that of a whole dialogue."""
        engine = self.trainer.vllm_generation
        before = engine.max_completion_length, engine.generation_kwargs, engine.temperature
        engine.max_completion_length = tokens
        engine.generation_kwargs = {**engine.generation_kwargs, "stop_token_ids": sorted(self.end_ids)}
        if self.temperature is not None:
            engine.temperature = self.temperature
        try:
            yield
        finally:
            engine.max_completion_length, engine.generation_kwargs, engine.temperature = before

    @contextmanager
    def _seeded(self, requests: Sequence[Request]) -> Iterator[None]:
        """An engine in this process draws from torch's own generator, which is as it was afterwards."""
        device = self.trainer.accelerator.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(derive_seed(*((each.episode_id, each.turn, each.seed) for each in requests)))
            yield

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


def by_engine(engine: Engine, options: Options) -> Options:
    """TRL's options, with those that make it generate by this engine."""
    return {**options, "use_vllm": engine.name == "vllm"}


def needs_room(args: GRPOConfig) -> bool:
    """Whether the engine's context is left open: that of the model may be too large for a share of a GPU."""
    return bool(args.use_vllm and args.vllm_max_model_length is None)


def make_room(args: GRPOConfig, tokens: int, most: int | None) -> None:
    """Gives the engine a context that holds dialogues of so many tokens, at most the model's."""
    rounded = -(-tokens // _ROUND) * _ROUND
    args.vllm_max_model_length = min(rounded, most or rounded)


def check_vllm(args: GRPOConfig) -> None:
    """ConfigError where generation by vLLM is wanted and cannot be."""
    if args.use_vllm and not vllm_installed():
        raise ConfigError(f"rl.trainer.use_vllm needs vLLM: {INSTALL}")


def check_model(name: str, args: GRPOConfig) -> None:
    """ConfigError for a model, an adapter's base, that vLLM cannot load by its name."""
    if args.use_vllm and unnamed(name):
        raise ConfigError(
            f"rl.trainer.use_vllm: vLLM loads the model from its folder, and {name} is none. First: clarify-rl export "
            f"{name} --out base. Then: model.base=base"
        )


@contextmanager
def starting(options: Options) -> Iterator[None]:
    """While TRL builds its trainer: the engine in it gets these options too, behind those that TRL sets."""
    own = getattr(vllm_generation, "LLM", None)  # there where vLLM is installed
    if own is None:
        yield
        return
    vllm_generation.LLM = partial(own, **{"dtype": half_or_single(), **options})
    try:
        yield
    except TypeError as error:
        raise ConfigError(f"engine.options: {error}. TRL sets some of vLLM's options itself.") from error
    finally:
        vllm_generation.LLM = own


def without_critic(trainer: Any) -> None:  # Any: TRL's trainer
    """Keeps PPO's critic from an engine that has no place for it."""
    engine = trainer.vllm_generation
    everything = engine._iter_named_params
    engine._iter_named_params = lambda: ((name, at) for name, at in everything() if not name.startswith(CRITIC))


@contextmanager
def releasing(trainer: Any) -> Iterator[None]:  # Any: TRL's trainer
    """While it trains: an engine in this process then gives back what it holds, and its place among processes of one.

    Of several learners each ends with its process, and they share a place that the engine must not take from them.
    """
    try:
        yield
    finally:
        llm = getattr(getattr(trainer, "vllm_generation", None), "llm", None)
        if llm is not None and trainer.accelerator.num_processes == 1:
            llm.llm_engine.engine_core.shutdown()
            for name in _PLACE:
                os.environ.pop(name, None)
