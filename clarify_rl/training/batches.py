"""Micro-batches without padding that all of their rows share: rows of like length stand together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


def by_length(
    batches: Sequence[Mapping[str, Any]], multiple: int | None = None
) -> list[dict[str, Any]]:  # Any: tensors, and TRL's scalars
    """The rows of all micro-batches dealt anew: rows of like length stand together, without padding that all share.

    Dialogues differ much in length, and TRL pads every row to the longest, so a third of the training was padding.
    """
    lengths = torch.cat([batch["completion_mask"].sum(1) for batch in batches])
    merged = {
        name: torch.cat([batch[name] for batch in batches]) if _is_row_wise(value) else value
        for name, value in batches[0].items()
    }
    return [
        trim({name: value[rows] if _is_row_wise(value) else value for name, value in merged.items()}, multiple)
        for rows in lengths.argsort(stable=True).chunk(len(batches))
    ]


def trim(batch: Mapping[str, Any], multiple: int | None = None) -> dict[str, Any]:  # Any: as above
    """A batch without the columns that are padding in every row: prompts are padded on the left, completions right.

    What is left is as wide as a `multiple`, where TRL has padded to one.
    """
    prompt = slice(batch["prompt_mask"].shape[1] - _width(batch["prompt_mask"], multiple), None)
    completion = slice(None, _width(batch["completion_mask"], multiple))
    return {
        name: value[:, prompt if name.startswith("prompt") else completion]
        if _is_row_wise(value) and value.dim() == 2
        else value
        for name, value in batch.items()
    }


def _width(mask: torch.Tensor, multiple: int | None) -> int:
    step = multiple or 1
    return min(mask.shape[1], max(1, -(-int(mask.sum(1).max()) // step)) * step)


def _is_row_wise(value: object) -> bool:
    """Whether a tensor has one row for each episode."""
    return isinstance(value, torch.Tensor) and value.dim() > 0
