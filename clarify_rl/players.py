"""A run's models as they take part in dialogues: loaded here or behind a server, with their chat and their budgets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.dialogue.prices import Prices
from clarify_rl.engines import engine_for_evaluation
from clarify_rl.errors import ConfigError
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.policies.models import LoadedModel, device_named, generation_config, load_model, load_tokenizer
from clarify_rl.policies.openai import OpenAIPolicy, served
from clarify_rl.policies.vllm import Engines, VLLMPolicy, context_of
from clarify_rl.sections import Lora
from clarify_rl.types import Policy

_NO_LIMIT = 1 << 20  # tokens of context, where a model does not say how many it holds


Use = Literal["all weights", "adapter", "evaluation"]


def training_use(lora: Lora) -> Use:
    """What a stage with this `lora` trains."""
    return "all weights" if lora is None else "adapter"


def load(config: Config, spec: str, use: Use) -> LoadedModel:
    """A model of the run, as it is configured to be loaded for what is done with it."""
    section = config.model
    return load_model(
        spec,
        dtype=dtype_for(use, device_named(section.device)) if section.dtype == "auto" else section.dtype,
        device=section.device,
        quantization=section.quantization,
        attention=section.attn_implementation,
    )


def chat_for(config: Config, loaded: LoadedModel, *, trains: bool = True) -> Chat:
    return make_chat(config, loaded.tokenizer, end_ids(loaded), trains=trains)


def make_chat(config: Config, tokenizer: PreTrainedTokenizerFast, ends: frozenset[int], *, trains: bool = True) -> Chat:
    """How dialogues become tokens. `trains`: a model that is only evaluated may render each turn anew.

    A template that rewrites earlier turns, as those of thinking models do, gives way to TRL's training template for
    it, which the tokenizer then keeps, so that every stage and every checkpoint reads the same. Raises ConfigError for
    one that cannot be trained on.
    """
    words, prices = (config.dialogue.instruction, config.dialogue.last_call), prices_of(config)
    try:
        return Chat(tokenizer, *words, ends, prices=prices)
    except ConfigError:
        from clarify_rl.training.templates import training_template  # heavy, and seldom needed

        if template := training_template(tokenizer):
            own, tokenizer.chat_template = tokenizer.chat_template, template
            try:
                return Chat(tokenizer, *words, ends, prices=prices)
            except ConfigError:
                tokenizer.chat_template = own
        if trains:
            raise
        return Chat(tokenizer, *words, ends, anew=True, prices=prices)


def prices_of(config: Config) -> Prices:
    """The prices of a question that prompts may say."""
    return Prices(config.dialogue.prices, config.dialogue.price_note)


def dtype_for(use: Use, device: torch.device) -> str:
    """The precision that each use wants; see ModelConfig."""
    return "float32" if device.type != "cuda" or use == "all weights" else "bfloat16"


@dataclass(frozen=True)
class Player:
    """A model as it is evaluated, greedy unless configured otherwise, with what turns its dialogues into tokens."""

    policy: Policy
    chat: Chat | TextChat
    limits: DialogueLimits

    def at(self, temperature: float) -> Player:
        """The same model, sampled at another temperature; a policy that has none is left alone."""
        if getattr(self.policy, "temperature", temperature) == temperature:
            return self
        return replace(self, policy=replace(self.policy, temperature=temperature))  # type: ignore[type-var] # those that have one are dataclasses


def player_for(config: Config, spec: str, engines: Engines | None = None) -> Player:
    """The model that `spec` names: loaded here, or behind a server; by vLLM where there are `engines` and it shall."""
    section = config.eval
    if address := served(spec):
        budgets = config.dialogue
        limits = DialogueLimits(budgets.max_questions, budgets.turn_tokens, budgets.total_tokens, _NO_LIMIT)
        policy = OpenAIPolicy(address, section.server, section.temperature)
        return Player(policy, TextChat(budgets.instruction, budgets.last_call, prices_of(config)), limits)
    if engines is not None and engine_for_evaluation(config).name == "vllm":
        return _player_by_vllm(config, spec, engines)
    loaded = load(config, spec, "evaluation")
    pad_id = loaded.tokenizer.pad_token_id
    hf = HFPolicy(loaded.model, end_ids(loaded), pad_id, section.temperature, section.batch_size, logprobs=True)
    return Player(hf, chat_for(config, loaded, trains=False), dialogue_limits(config, loaded))


def _player_by_vllm(config: Config, spec: str, engines: Engines) -> Player:
    tokenizer, llm = load_tokenizer(spec), engines.holding(spec)
    ends = end_ids_of(spec, tokenizer)
    chat = make_chat(config, tokenizer, ends, trains=False)
    budgets = config.dialogue
    limits = DialogueLimits(budgets.max_questions, budgets.turn_tokens, budgets.total_tokens, context_of(llm))
    return Player(VLLMPolicy(llm, ends, config.eval.temperature, logprobs=True), chat, limits)


def end_ids(loaded: LoadedModel) -> frozenset[int]:
    """Every token that ends a turn: the tokenizer's, and those that the model's generation configuration adds."""
    return _ends(loaded.tokenizer, loaded.model.generation_config)


def end_ids_of(spec: str, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """The same for a model whose weights are not loaded."""
    return _ends(tokenizer, generation_config(spec))


def _ends(tokenizer: PreTrainedTokenizerFast, config: GenerationConfig | None) -> frozenset[int]:
    stated = config.eos_token_id if config else None
    more = stated if isinstance(stated, list) else [] if stated is None else [stated]
    return frozenset({tokenizer.eos_token_id, *more})


def dialogue_limits(config: Config, loaded: LoadedModel) -> DialogueLimits:
    """The configured budgets, within what the model's context holds."""
    context = int(getattr(loaded.model.config, "max_position_embeddings", 0)) or _NO_LIMIT
    section = config.dialogue
    return DialogueLimits(section.max_questions, section.turn_tokens, section.total_tokens, context)
