"""Whether weights are numbers: a model that is spoiled is told of when it is loaded or written, not when it samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from clarify_rl.errors import ClarifyError

_SHOWN = 3


@torch.no_grad()
def not_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Names of the tensors that hold a NaN or an infinity. Packed (integer) weights cannot."""
    named = [(name, tensor) for name, tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    # One answer from the device for all: asked one by one, a GPU would stop for each.
    verdicts = [tensor.detach().isfinite().all() for _, tensor in named]
    fine = torch.stack([verdict.to(verdicts[0].device) for verdict in verdicts]).tolist() if verdicts else []
    return [name for (name, _), is_fine in zip(named, fine, strict=True) if not is_fine]


def require_finite(model: torch.nn.Module, folder: Path) -> None:
    """ClarifyError for a model that must not be written to `folder`."""
    if spoiled := not_finite(model.named_parameters()):
        raise ClarifyError(
            f"The weights are no finite numbers any more ({some_of(spoiled)}), so they were not written to {folder}. "
            "--resume goes on from the last complete checkpoint."
        )


def some_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
