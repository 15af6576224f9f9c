"""Adapters: what a stage trains, and what must hold before its first step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, TrainerCallback, TrainerState, TrainingArguments
from trl.trainer.utils import use_adapter

from clarify_rl.config import CONTINUE, Lora, Options
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.policies.models import is_quantized, load_model

ADAPTER = "adapter"  # the folder of an adapter in that of the model that it was merged into
CHECKED = 64  # prompts to check a start with; a batch of them is read
MOST_DRIFT = 1e-3  # nats a token: half precision is well below it, another model far above
_TIED = (
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
            f"Merged into its base, the adapter {folder} would say something else ({apart:.3g} nats a token). {_TIED} "
            "The adapter itself is kept."
        )
    return plain


@torch.no_grad()
def _says(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    """Log-probabilities of what may follow each of a few tokens."""
    training = model.training
    ids = torch.arange(min(64, model.config.get_text_config().vocab_size), device=model.device)[None]
    found: torch.Tensor = model.eval()(input_ids=ids).logits.float().log_softmax(-1)
    model.train(training)
    return found


class CheckStart(TrainerCallback):
    """Stops a training in which nothing would be trained, or which does not start at its reference model."""

    def __init__(self, trainer: Any, prompts: Sequence[tuple[int, ...]] = ()) -> None:  # Any: TRL's trainer
        self.trainer, self.prompts = trainer, prompts

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any
    ) -> None:  # Any: transformers'
        _check_trainable(self.trainer.model)
        _check_embeddings(self.trainer.model)
        if self.prompts and self.trainer.beta != 0 and state.global_step == 0:
            _check_reference(self.trainer, self.prompts[: args.per_device_train_batch_size])


def _check_trainable(model: PreTrainedModel | PeftModel) -> None:
    if not any(weight.requires_grad for name, weight in model.named_parameters() if "critic." not in name):
        raise ClarifyError(
            "No weight of the policy would be trained. An adapter must be loaded with is_trainable=True, and a model "
            "must not be frozen. Nothing was changed."
        )


def _check_embeddings(model: PreTrainedModel | PeftModel) -> None:
    if isinstance(model.get_input_embeddings(), BaseTunerLayer) and model.config.get_text_config().tie_word_embeddings:
        raise ClarifyError(f"The adapter could be trained, but not merged into its base. {_TIED}")


def _check_reference(trainer: Any, prompts: Sequence[tuple[int, ...]]) -> None:  # Any: as above
    """One forward pass of each on one batch of prompts."""
    drift = _drift(trainer, prompts)
    if drift > MOST_DRIFT:
        config = trainer.model.config
        raise ClarifyError(
            f"The policy starts {drift:.3g} nats a token away from its reference model instead of 0, and the KL term "
            f"(rl.trainer.beta={trainer.beta}) would pull it elsewhere. Likely causes: TRL reads the reference from "
            f"{config._name_or_path}, which holds other weights than the policy started from; the adapter was trained "
            "on another base; rl.trainer.model_init_kwargs load the reference otherwise. Without a reference: "
            "rl.trainer.beta=0"
        )


@torch.no_grad()
def _drift(trainer: Any, prompts: Sequence[tuple[int, ...]]) -> float:  # Any: as above
    """The mean KL divergence of the policy from the reference, in nats a token of the prompts, as TRL estimates it."""
    rows = [torch.tensor(ids) for ids in prompts]
    device = trainer.accelerator.device
    ids = pad_sequence(rows, batch_first=True, padding_value=trainer.processing_class.pad_token_id).to(device)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(device)
    width = ids.shape[1] - 1
    training = trainer.model.training
    trainer.model.eval()  # dropout would tell two equal models apart
    try:
        own = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, width)[0]
        with _reference(trainer) as reference:
            theirs = trainer._get_per_token_logps_and_entropies(reference, ids, mask, width)[0]
    finally:
        trainer.model.train(training)
    apart = (theirs - own) * mask[:, 1:]
    return float((apart.exp() - apart - 1).sum() / mask[:, 1:].sum())


@contextmanager
def _reference(trainer: Any) -> Iterator[Any]:  # Any: TRL's trainer, and any wrapper of a model
    """The reference as TRL takes it: a model of its own, a copy of the adapter, or the model without its adapter."""
    if trainer.ref_model is not None:
        yield trainer.ref_model
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    with use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None):
        yield trainer.model
