"""Generation with models whose state is no cache of keys and values (Mamba, Qwen3-Next, Falcon-H1, ...).

transformers' own `generate` knows how each of them keeps its state. Rows of unlike length never stand in one batch: a
state has read the padding, too. What it leaves out: dropping finished rows, and sharing the prefill of equal contexts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from clarify_rl.types import Request

_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)


def keeps_keys_and_values(model: PreTrainedModel) -> bool:
    """Whether all that `model` remembers of a text is one key and one value for each token and layer."""
    if model._is_stateful or not model._supports_default_dynamic_cache():
        return False
    return all(type(layer) in _PLAIN for layer in DynamicCache(config=model.config).layers)


def alike(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """The requests, in order, in runs of equally long contexts."""
    return (list(run) for _, run in groupby(requests, key=lambda request: len(request.context)))


class Generated:
    """What `generate` made of requests with equally long contexts: tokens, logprobs and what could not be sampled."""

    def __init__(
        self, model: PreTrainedModel, requests: Sequence[Request], ends: Sequence[int], pad_id: int, temperature: float
    ) -> None:
        self.budgets = [request.max_new_tokens for request in requests]
        ids = torch.tensor([request.context for request in requests], device=model.device)
        self.spoiled_at: list[int | None] = [None] * len(requests)
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        config = GenerationConfig(
            max_new_tokens=max(self.budgets),
            eos_token_id=list(ends),
            pad_token_id=pad_id,
            top_k=0,
            output_logits=True,
            return_dict_in_generate=True,
            **sampling,
        )
        with _own_config(model, config):
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), logits_processor=LogitsProcessorList([_Look(self)])
            )
        self.token_ids = out.sequences[:, ids.shape[1] :]
        logits = torch.stack(out.logits, 1).float() / (temperature or 1.0)
        self.logprobs = logits.log_softmax(-1).gather(2, self.token_ids[:, :, None])[:, :, 0]

    def row(self, i: int, ends: frozenset[int]) -> tuple[list[int], list[float]]:
        """The tokens of row i up to its end or its budget, whichever comes first, and their logprobs."""
        ids = self.token_ids[i, : self.budgets[i]].tolist()
        length = next((at for at, token in enumerate(ids, 1) if token in ends), len(ids))
        return ids[:length], self.logprobs[i, :length].tolist()


class _Look(LogitsProcessor):
    """Notes which rows' logits are no distribution, and gives them one: a GPU's sampler would end in an assertion."""

    def __init__(self, seen: Generated) -> None:
        self.seen, self.step = seen, 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wrong = ~scores.amax(-1).isfinite()
        for row in wrong.nonzero()[:, 0].tolist():
            if self.seen.spoiled_at[row] is None:
                self.seen.spoiled_at[row] = self.step
        self.step += 1
        return scores.masked_fill(wrong[:, None], 0.0)


@contextmanager
def _own_config(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """With `config` as the model's own: transformers fills what a given one leaves open from the model's, whose maker
    may have set penalties and a top-p."""
    before = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = before
