"""Generation with any Hugging Face causal LM: one decode loop that drops finished rows and never pads a cache twice.

Models that keep another state than keys and values go through transformers' own loop; see stateful.py.

What it leaves out: beam search, top-k and top-p (a policy is sampled as it is, or greedily), and compiled decoding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from clarify_rl.errors import ClarifyError
from clarify_rl.policies.stateful import Generated, alike, keeps_keys_and_values
from clarify_rl.seeds import derive_seed
from clarify_rl.types import Request, Sample

_COMPACT_AT = 0.75  # rows still generating, as a share of the batch, under which the others are dropped from it


@dataclass
class HFPolicy:
    """Samples from `model` at `temperature` (0: greedy). `end_ids` end a turn and are kept in the sample.

    `batch_size` bounds the rows that are generated at once. Rows that share a context share its prefill.
    """

    model: PreTrainedModel
    end_ids: frozenset[int]
    pad_id: int
    temperature: float = 1.0
    batch_size: int = 128
    logprobs: bool = False

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request, in order."""
        # Rows of one length waste no padding; the order is undone at the end.
        order = sorted(range(len(requests)), key=lambda i: len(requests[i].context))
        samples: dict[int, Sample] = {}
        batch = self._batch if keeps_keys_and_values(self.model) else self._batch_of_stateful
        with _evaluating(self.model):
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                samples.update(zip(rows, batch([requests[i] for i in rows]), strict=True))
        return [samples[i] for i in range(len(requests))]

    @torch.inference_mode()
    def _batch_of_stateful(self, requests: Sequence[Request]) -> list[Sample]:
        samples = []
        for run in alike(requests):
            with torch.random.fork_rng([self.model.device] if self.model.device.type == "cuda" else []):
                torch.manual_seed(_seed(run))
                made = Generated(self.model, run, sorted(self.end_ids), self.pad_id, self.temperature)
            for i, request in enumerate(run):
                ids, logprobs = made.row(i, self.end_ids)
                if (at := made.spoiled_at[i]) is not None and at < len(ids):
                    raise ClarifyError(refusal(self.model, request, at + 1))
                samples.append(Sample(tuple(ids), tuple(logprobs) if self.logprobs else None, ids[-1] in self.end_ids))
        return samples

    @torch.inference_mode()
    def _batch(self, requests: Sequence[Request]) -> list[Sample]:
        generator = torch.Generator(self.model.device)
        generator.manual_seed(_seed(requests))
        decoding = _Decoding(self, requests, generator)
        while decoding.rows:
            decoding.step()
        return [
            Sample(tuple(ids), tuple(logprobs) if self.logprobs else None, bool(ids) and ids[-1] in self.end_ids)
            for ids, logprobs in zip(decoding.token_ids, decoding.logprobs, strict=True)
        ]


def _seed(requests: Sequence[Request]) -> int:
    return derive_seed(*((request.episode_id, request.turn, request.seed) for request in requests))


def refusal(model: PreTrainedModel, request: Request, token: int) -> str:
    """Why nothing can be sampled for this token, which counts from 1."""
    where = f"token {token} of turn {request.turn + 1} in episode {request.episode_id}"
    return (
        f"{model.name_or_path} gives logits that are not finite for {where}, so nothing can be sampled. Likely causes: "
        "an attention kernel of this GPU (try model.attn_implementation=eager), half precision (model.dtype=float32), "
        "or weights that training has spoiled (take an earlier checkpoint)."
    )


class _Decoding:
    """A batch under way. `rows` are the indices of the requests whose tokens are still sampled, in cache order."""

    def __init__(self, policy: HFPolicy, requests: Sequence[Request], generator: torch.Generator) -> None:
        self.policy, self.requests, self.generator = policy, requests, generator
        self.device = policy.model.device
        self.budgets = [request.max_new_tokens for request in requests]
        self.token_ids: list[list[int]] = [[] for _ in requests]
        self.logprobs: list[list[float]] = [[] for _ in requests]
        self.rows = list(range(len(requests)))
        self.done = [False] * len(requests)
        self.ends = torch.tensor(sorted(policy.end_ids), device=self.device)
        self._prefill([request.context for request in requests])
        self.spoiled = torch.zeros(len(requests), dtype=torch.bool, device=self.device)

    def _prefill(self, contexts: Sequence[tuple[int, ...]]) -> None:
        """Runs each distinct context once, left-padded, then gives every row its copy of the cache."""
        distinct = list(dict.fromkeys(contexts))
        longest = max(map(len, distinct))
        ids = torch.full((len(distinct), longest), self.policy.pad_id)
        mask = torch.zeros((len(distinct), longest), dtype=torch.long)
        for i, context in enumerate(distinct):
            ids[i, longest - len(context) :] = torch.tensor(context)
            mask[i, longest - len(context) :] = 1
        self.cache = reserved_cache(self.policy.model, reserve=max(self.budgets))
        self.mask = mask.to(self.device)
        self.logits = self._forward(ids.to(self.device), (self.mask.cumsum(1) - 1).clamp(min=0))
        where = {context: i for i, context in enumerate(distinct)}
        self._select(torch.tensor([where[context] for context in contexts], device=self.device))

    def _select(self, rows: torch.Tensor) -> None:
        for layer in self.cache.layers:
            assert isinstance(layer, DynamicLayer)
            layer.batch_select_indices(rows)
        self.mask, self.logits = self.mask[rows], self.logits[rows]

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        out = self.policy.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = out.logits[:, -1].float()
        return logits

    def step(self) -> None:
        """Samples one token for every row, notes which rows ended, and runs the others on."""
        tokens, logprobs = self._sample()
        ended = torch.isin(tokens, self.ends).long()
        # Read in one go: on a GPU, each look at a tensor waits for all that was started before it.
        sampled = torch.stack([tokens, ended, self.spoiled.long()]).tolist()
        for i, (row, token, end, spoiled) in enumerate(zip(self.rows, *sampled, strict=True)):
            if self.done[row]:
                continue
            if spoiled:
                token_number = len(self.token_ids[row]) + 1
                raise ClarifyError(refusal(self.policy.model, self.requests[row], token_number))
            self.token_ids[row].append(token)
            if logprobs is not None:
                self.logprobs[row].append(logprobs[i])
            self.done[row] = bool(end) or len(self.token_ids[row]) >= self.budgets[row]
        running = [i for i, row in enumerate(self.rows) if not self.done[row]]
        if len(running) < _COMPACT_AT * len(self.rows):
            self.rows = [self.rows[i] for i in running]
            kept = torch.tensor(running, dtype=torch.long, device=self.device)
            tokens = tokens[kept]
            if running:
                self._select(kept)
        if self.rows:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
            self.logits = self._forward(tokens[:, None], self.mask.sum(1, keepdim=True) - 1)

    def _sample(self) -> tuple[torch.Tensor, list[float] | None]:
        """Tokens (rows,) and, where asked for, their logprobs under the sampling distribution.

        A row whose logits are no distribution (a NaN, +inf, or -inf throughout) is noted in `spoiled`, and gets any
        token: a GPU that samples from one loses the whole process in an assertion.
        """
        self.spoiled = ~self.logits.amax(-1).isfinite()
        if self.policy.temperature == 0:
            tokens = self.logits.argmax(-1)
            logprobs = torch.log_softmax(self.logits, -1) if self.policy.logprobs else None
        else:
            logprobs = torch.log_softmax(self.logits / self.policy.temperature, -1)
            shares = logprobs.exp().masked_fill_(self.spoiled[:, None], 1.0)
            tokens = torch.multinomial(shares, 1, generator=self.generator)[:, 0]
        if not self.policy.logprobs or logprobs is None:
            return tokens, None
        return tokens, logprobs.gather(1, tokens[:, None])[:, 0].tolist()


class _ReservedLayer(DynamicLayer):
    """A cache layer that keeps room for the tokens to come, so that a step writes in place and copies nothing."""

    def __init__(self, reserve: int) -> None:
        super().__init__()
        self.reserve = reserve
        self._buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old, new = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        if not self._buffers or self._buffers[0].shape[-2] < new:
            self._grow((key_states, value_states), new)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, old:new] = states
        self.keys, self.values = (buffer[:, :, :new] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        length = self.get_seq_length()
        self._buffers = [buffer[indices] for buffer in self._buffers]
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)

    def _grow(self, like: Sequence[torch.Tensor], length: int) -> None:
        """Keys and values each in their own shape: multi-head latent attention has wider keys than values."""
        kept = [self.keys, self.values] if self._buffers else []
        self._buffers = [
            states.new_empty((*states.shape[:2], length + self.reserve, states.shape[-1])) for states in like
        ]
        for buffer, old in zip(self._buffers, kept, strict=False):
            buffer[:, :, : old.shape[-2]] = old


def reserved_cache(model: PreTrainedModel, *, reserve: int) -> Cache:
    """An empty cache for `model` with room for `reserve` tokens behind the first ones written."""
    return Cache(layers=[_ReservedLayer(reserve) for _ in range(model.config.num_hidden_layers)])


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode inside, the former mode after."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
