"""Numbers that are not finite end a training before they reach the weights, and what led to them is kept.

Looked at are the loss and the gradient of every micro-batch, and the weights and the optimizer's state before a
checkpoint counts as complete. What it leaves out: gradients that DeepSpeed holds, and those of a run with `fp16`, whose
scaler meets infinite ones as a matter of course and steps over them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments

from clarify_rl.errors import ClarifyError
from clarify_rl.policies.finite import not_finite, some_of

_Base: Any = object  # Any: the trainer of transformers that FiniteSteps is mixed into
if TYPE_CHECKING:
    from transformers import Trainer

    _Base = Trainer

_ADVICE = (
    "Likely causes: an attention kernel of this GPU (try model.attn_implementation=eager), half precision "
    "(model.dtype=float32), or a learning rate too high ({where}.learning_rate={slower:.2g})"
)


class FiniteSteps(_Base):
    """Mixed into a trainer: a loss or gradient that is not finite raises ClarifyError before an update is made of it.

    The micro-batch is written to `kept_in` with torch.save, as the trainer had it. `where` names the trainer's options.
    """

    kept_in: Path
    where: str
    _micro_batch: Mapping[str, Any]  # Any: tensors, and what TRL puts beside them

    def rows(self) -> Sequence[str]:
        """Names of the micro-batch's rows, where they have any."""
        return ()

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # Any: transformers' own
        self._micro_batch = inputs
        return super().compute_loss(model, inputs, *args, **kwargs)

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:  # Any: as above
        loss: torch.Tensor = super().training_step(model, *args, **kwargs)
        norm = self._gradient_norm(model)
        if not bool(torch.stack([loss.detach().float(), norm.to(loss.device)]).isfinite().all()):
            raise ClarifyError(self._kept(float(loss), float(norm)))
        return loss

    def _gradient_norm(self, model: Any) -> torch.Tensor:  # Any: as above
        """Of all that was accumulated so far, in one pass; 0 where gradients are not to be judged here."""
        scaled = getattr(self.accelerator, "scaler", None) is not None
        gradients = [] if scaled else [p.grad for p in model.parameters() if p.grad is not None]
        if not gradients:
            return torch.zeros(())
        norm: torch.Tensor = torch.nn.utils.get_total_norm(gradients).float()
        return norm

    def _kept(self, loss: float, norm: float) -> str:
        step = self.state.global_step + 1
        path = self.kept_in / f"{self.where.partition('.')[0]}-step-{step}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        named = self.rows()
        kept = {name: value for name, value in self._micro_batch.items() if isinstance(value, torch.Tensor)}
        torch.save({**kept, "rows": list(named)}, path)
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
        on = f" on {_span(named)}" if named else ""
        advice = _ADVICE.format(where=self.where, slower=self.args.learning_rate / 2)
        return (
            f"Step {step}: {what}{on}. Training stopped before the weights took it up, and the micro-batch is in "
            f"{path}. {advice}. Where it came by chance, --resume goes on from the last checkpoint."
        )


class FiniteCheckpoints(TrainerCallback):
    """Raises ClarifyError for a checkpoint, or an evaluation, of weights that are not finite.

    Add it before the callback that marks a checkpoint as complete: one without its mark is never gone on from.
    """

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:  # Any: transformers'
        spoiled = not_finite(model.named_parameters())
        if spoiled or not_finite(_state_of(optimizer)):
            what = f"weights ({some_of(spoiled)})" if spoiled else "optimizer state"
            raise ClarifyError(
                f"Step {state.global_step}: {what} are no longer finite, so no checkpoint was made. The last complete "
                "one is what --resume goes on from. Try a lower learning rate."
            )

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: Any, metrics: Mapping[str, float], **_: Any
    ) -> None:  # Any: as above
        loss = metrics.get("eval_loss", 0.0)
        if not math.isfinite(loss):
            raise ClarifyError(
                f"Step {state.global_step}: the held-out loss is {loss}, so no checkpoint could be called the best. "
                "Try model.attn_implementation=eager, or model.dtype=float32."
            )


def _state_of(optimizer: Any) -> Iterator[tuple[str, torch.Tensor]]:  # Any: torch's, in wrappers of accelerate
    for weight, numbers in getattr(optimizer, "state", {}).items():
        for name, value in numbers.items():
            if isinstance(value, torch.Tensor):
                yield f"{name} of a weight of shape {tuple(weight.shape)}", value


def _span(names: Iterable[str]) -> str:
    ordered = list(names)
    return ordered[0] if len(ordered) == 1 else f"{len(ordered)} rows, {', '.join(ordered[:4])} and so on"
