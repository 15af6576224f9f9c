"""Adapters: what a stage trains where it does not train all weights, and how that becomes a plain model again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel

from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.policies.models import is_quantized, load_model
from clarify_rl.sections import CONTINUE, Lora, Options

ADAPTER = "adapter"  # the folder of an adapter in that of the model that it was merged into
TIED = (
    "Where a model's embeddings are its head too, an adapter on one of them cannot be merged: leave embed_tokens out "
    "of target_modules."
)
MOST_APART = 0.05  # nats a token: merging rounds each weight, in half precision noticeably


def lora_config(where: str, lora: Lora) -> LoraConfig | None:
    """peft's configuration of a fresh adapter; None where there is none to make. ConfigError for what peft refuses."""
    if lora is None or lora == CONTINUE:
        return None
    options: Options = {"task_type": "CAUSAL_LM", **lora}
    try:
        return LoraConfig(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}. These options are those of peft's LoraConfig") from error


def adapter_for(where: str, lora: Lora, model: PreTrainedModel | PeftModel) -> LoraConfig | None:
    """The configuration of the adapter that TRL shall put into `model`; None for full weights and for the one it has.

    Raises ConfigError when the configuration and the model do not fit: nothing, or something else, would be trained.
    """
    adapted = isinstance(model, PeftModel)
    if lora == CONTINUE and not adapted:
        raise ConfigError(
            f"{where}=continue: {model.name_or_path} has no adapter. Train one first (sft.lora.r=16 "
            f"sft.lora.target_modules=all-linear), or make a fresh one: {where}.r=16 {where}.target_modules=all-linear"
        )
    if lora != CONTINUE and adapted:
        raise ConfigError(
            f"{where}: the model to start from is an adapter already. Go on with it ({where}=continue), or merge it "
            "first (clarify-rl export ADAPTER --out FOLDER) and start from that (model.base=FOLDER)."
        )
    if lora is None and is_quantized(model):
        raise ConfigError(f"{where}: quantised weights cannot be trained. Add an adapter, e.g. {where}.r=16")
    return lora_config(where, lora)


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turns what peft and TRL say about an adapter that does not fit the model into a mistake that names its option."""
    try:
        yield
    except ValueError as error:
        if "adapter" not in str(error) and "target" not in str(error).lower():
            raise
        raise ConfigError(f"{where}: {error}") from error


def merged(model: PeftModel, folder: Path) -> PreTrainedModel:
    """A plain model with the adapter of `model` in its weights; `folder` is where that adapter was saved.

    Quantised weights would round the adapter away, so the base is read again without quantisation.
    """
    if is_quantized(model):
        dtype = str(model.dtype).removeprefix("torch.")
        model = cast(PeftModel, load_model(str(folder), dtype=dtype, device="cpu").model)
    before = _says(model)
    try:
        plain = cast(PreTrainedModel, model.merge_and_unload(safe_merge=True))
    except ValueError as error:
        raise ClarifyError(f"The adapter in {folder} cannot be merged: {error}") from error
    apart = float((before.exp() * (before - _says(plain))).sum(-1).mean())
    if not apart < MOST_APART:
        raise ClarifyError(
            f"Merged into its base, the adapter {folder} would say something else ({apart:.3g} nats a token). {TIED} "
            "The adapter itself is kept."
        )
    return plain


@torch.no_grad()
def _says(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    """Log-probabilities of what may follow each of a few tokens."""
    training = model.training
    ids = torch.arange(min(64, model.config.get_text_config().vocab_size), device=model.device)[None]
    logprobs: torch.Tensor = model.eval()(input_ids=ids).logits.float().log_softmax(-1)
    model.train(training)
    return logprobs
