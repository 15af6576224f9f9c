"""The start of a training: what must hold before its first step, tried out in a few forward passes.

Something is trained, it can be saved, padding changes nothing, and the policy stands where its reference stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, TrainerCallback, TrainerState, TrainingArguments
from trl.trainer.utils import use_adapter

from clarify_rl.errors import ClarifyError
from clarify_rl.policies.finite import not_finite, some_of
from clarify_rl.training.adapters import MOST_APART, TIED

CHECKED = 64  # prompts to check a start with; a batch of them is read
MOST_DRIFT = 1e-3  # nats a token: half precision is well below it, another model far above
_PADDED = 7  # tokens of padding to try


class CheckStart(TrainerCallback):
    """Stops a training in which nothing would be trained, or which does not start at its reference model."""

    def __init__(self, trainer: Any, prompts: Sequence[tuple[int, ...]] = ()) -> None:  # Any: TRL's trainer
        self.trainer, self.prompts = trainer, prompts

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: Any, **_: Any
    ) -> None:  # Any: transformers'
        _check_finite(self.trainer)
        _check_trainable(self.trainer.model)
        _check_embeddings(self.trainer.model)
        if self.prompts and state.global_step == 0:
            _check_padding(self.trainer, self.prompts[0])
        if self.prompts and self.trainer.beta != 0 and state.global_step == 0:
            _check_reference(self.trainer, self.prompts[: args.per_device_train_batch_size])


def _check_finite(trainer: Any) -> None:  # Any: TRL's trainer
    for whose, model in (("policy", trainer.model), ("reference", getattr(trainer, "ref_model", None))):
        if model is not None and (spoiled := not_finite(model.named_parameters())):
            raise ClarifyError(
                f"Training cannot start: weights of the {whose} are no finite numbers ({some_of(spoiled)}). Nothing "
                "was changed."
            )


def _check_trainable(model: PreTrainedModel | PeftModel) -> None:
    if not any(weight.requires_grad for name, weight in model.named_parameters() if "critic." not in name):
        raise ClarifyError(
            "No weight of the policy would be trained. An adapter must be loaded with is_trainable=True, and a model "
            "must not be frozen. Nothing was changed."
        )


def _check_embeddings(model: PreTrainedModel | PeftModel) -> None:
    if isinstance(model.get_input_embeddings(), BaseTunerLayer) and model.config.get_text_config().tie_word_embeddings:
        raise ClarifyError(f"The adapter could be trained, but not merged into its base. {TIED}")


def _check_padding(trainer: Any, prompt: tuple[int, ...]) -> None:  # Any: TRL's trainer
    """The trainer pads prompts on the left and tells the model no positions; most models do not mind."""
    pad_id, device = trainer.processing_class.pad_token_id, trainer.accelerator.device
    ids = torch.tensor([[pad_id] * _PADDED + list(prompt)], device=device)
    mask = torch.tensor([[0] * _PADDED + [1] * len(prompt)], device=device)
    width = len(prompt) - 1
    padded = _told(trainer, trainer.model, ids, mask, width)
    plain = _told(trainer, trainer.model, ids[:, _PADDED:], mask[:, _PADDED:], width)
    apart = _kl(plain, padded, mask[:, _PADDED + 1 :])
    if not apart <= MOST_APART:  # a NaN is above no limit
        raise ClarifyError(
            f"{trainer.model.config._name_or_path} reads a prompt otherwise when padding stands before it ({apart:.3g} "
            "nats a token), as models with learned positions do. Training pads prompts so, and would not see what the "
            "policy saw. Take a model with rotary positions."
        )


def _check_reference(trainer: Any, prompts: Sequence[tuple[int, ...]]) -> None:  # Any: as above
    """One forward pass of each on one batch of prompts."""
    drift = _drift(trainer, prompts)
    if not drift <= MOST_DRIFT:
        config = trainer.model.config
        raise ClarifyError(
            f"The policy starts {drift:.3g} nats a token away from its reference model instead of 0, and the KL term "
            f"(rl.trainer.beta={trainer.beta}) would pull it elsewhere. Likely causes: TRL reads the reference from "
            f"{config._name_or_path}, which holds other weights than the policy started from; the adapter was trained "
            "on another base. Without a reference: rl.trainer.beta=0"
        )


def _drift(trainer: Any, prompts: Sequence[tuple[int, ...]]) -> float:  # Any: as above
    """How far the policy is from the reference on the prompts, in nats a token."""
    rows = [torch.tensor(ids) for ids in prompts]
    device = trainer.accelerator.device
    ids = pad_sequence(rows, batch_first=True, padding_value=trainer.processing_class.pad_token_id).to(device)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(device)
    width = ids.shape[1] - 1
    own = _told(trainer, trainer.model, ids, mask, width)
    with _reference(trainer) as reference:
        theirs = _told(trainer, reference, ids, mask, width)
    return _kl(own, theirs, mask[:, 1:])


@torch.no_grad()
def _told(trainer: Any, model: Any, ids: torch.Tensor, mask: torch.Tensor, width: int) -> torch.Tensor:  # Any: TRL's
    """The log-probabilities of the last `width` tokens, as the trainer computes them, without dropout."""
    training = trainer.model.training
    trainer.model.eval()  # dropout would tell two equal models apart
    try:
        logprobs: torch.Tensor = trainer._get_per_token_logps_and_entropies(model, ids, mask, width)[0]
    finally:
        trainer.model.train(training)
    return logprobs


def _kl(own: torch.Tensor, others: torch.Tensor, mask: torch.Tensor) -> float:
    """The KL divergence in nats a token, as TRL estimates it."""
    apart = (others - own) * mask
    return float((apart.exp() - apart - 1).sum() / mask.sum().clamp(min=1))


@contextmanager
def _reference(trainer: Any) -> Iterator[Any]:  # Any: TRL's trainer, and any wrapper of a model
    """The reference as TRL takes it: a model of its own, a copy of the adapter, or the model without its adapter."""
    if trainer.ref_model is not None:
        yield trainer.ref_model
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    with use_adapter(model, adapter_name="ref" if "ref" in model.peft_config else None):
        yield trainer.model
