"""Makes the embedded base model: a small Llama trained from scratch that codes and reads, and never asks.

What it leaves out: everything a general language model needs. Its world is the bank's sentences and their solutions.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TypeAlias

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from clarify_rl.config import PretrainConfig
from clarify_rl.policies.models import asset_digests, device_named, load_model
from clarify_rl.problems.bank.draw import draws
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.problems.bank.spec import Family
from clarify_rl.seeds import derive_seed
from clarify_rl.synthesis.base_text import base_dialogue, coded
from clarify_rl.synthesis.mix import code_reply
from clarify_rl.types import Message

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\n' -}}"
    "{%- else -%}{{- message['content'] + '<|im_end|>\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)

# Digits stay single, so that numbers are copied digit by digit; words, line starts and runs of signs may be one token.
_PIECES = r" ?\d|\n *[A-Za-z_]*| ?[A-Za-z_]+| ?[^\sA-Za-z_\d]+|\s"
_PROMPT_WEIGHT = 0.1  # of the loss on the problem's own words: enough to learn English, little enough to learn coding
_LOADER_WORKERS = 8  # part of the recipe: the stream of examples depends on it
_TOLD_EVERY, _MEASURED_EVERY = 20, 2000  # steps
_PARTS = 4  # of a batch, by length: padded apart, they take a third of the time


Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # ids, attention mask, loss weights: each (B, T)


@dataclass(frozen=True)
class Progress:
    """Where pretraining stands: losses in nats per token, `exact` the share of dev solutions written to the letter."""

    step: int
    loss: float
    exact: float | None
    seconds: float


def pretrain(
    config: PretrainConfig, out: Path, seed: int, *, on_progress: Callable[[Progress], None] | None = None
) -> None:
    """Trains the base model and writes it to `out` (float16 safetensors, tokenizer, template, digests).

    Raises ClarifyError if there is no model where `config.start` says.
    """
    torch.manual_seed(seed)
    families = [family for family in FAMILIES if family.name not in config.exclude]
    model, tokenizer = _going_on_from(config) if config.start else _from_scratch(config, families, seed)
    for progress in _train(model, tokenizer, families, config, seed):
        if on_progress:
            on_progress(progress)
    save_base(model, tokenizer, out)


def _from_scratch(
    config: PretrainConfig, families: Sequence[Family], seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    tokenizer = train_tokenizer(config.vocabulary, families, seed)
    return build_model(config, tokenizer).to(device_named(config.device)), tokenizer


def _going_on_from(config: PretrainConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    loaded = load_model(config.start, dtype="float32", device=config.device)
    return loaded.model, loaded.tokenizer


def train_tokenizer(vocabulary: int, families: Sequence[Family], seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE over the bank's sentences and solutions, with ChatML's frame."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(families, seed), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, eos_token=END, additional_special_tokens=[START]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _corpus(families: Sequence[Family], seed: int) -> Iterator[str]:
    for draw in islice(draws(families, "train", seed), 300 * len(families)):
        yield f"user\n{draw.prompt}"
        yield f"assistant\n{code_reply(draw.solution)}"
    for family in families:
        for spec in family.facts:
            yield from (*spec.asks, *spec.vague, *(text for option in spec.options[:8] for text in option.answers))


def build_model(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class _Dialogues(IterableDataset[tuple[list[int], int]]):
    """An endless stream of (token ids, length of the prompt) of what a base model reads."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, families: Sequence[Family], config: PretrainConfig, seed: int
    ) -> None:
        self.tokenizer, self.families, self.config, self.seed = tokenizer, families, config, seed

    def __iter__(self) -> Iterator[tuple[list[int], int]]:
        worker = get_worker_info()
        seed = derive_seed(self.seed, worker.id if worker else 0)
        rng = Random(seed)
        config = self.config
        for draw in draws(self.families, "train", seed):
            dialogue = base_dialogue(
                draw,
                rng,
                completed_share=config.completed_share,
                reading_share=config.reading_share,
                unclear_share=config.unclear_share,
            )
            yield encode_dialogue(self.tokenizer, dialogue)


def encode_dialogue(tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]) -> tuple[list[int], int]:
    """Token ids of a dialogue that ends with an assistant message, and how many of them come before that message."""
    before = "".join(f"{START}{message.role}\n{message.content}{END}\n" for message in messages[:-1])
    prompt_ids = tokenizer(f"{before}{START}assistant\n", add_special_tokens=False).input_ids
    reply_ids = tokenizer(messages[-1].content + END, add_special_tokens=False).input_ids
    return prompt_ids + reply_ids, len(prompt_ids)


def _train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    families: Sequence[Family],
    config: PretrainConfig,
    seed: int,
) -> Iterator[Progress]:
    loader = DataLoader(
        _Dialogues(tokenizer, families, config, seed),
        batch_size=config.batch_size,
        collate_fn=lambda rows: by_length(rows, model.config.pad_token_id),
        num_workers=_LOADER_WORKERS,
        multiprocessing_context="fork",
        prefetch_factor=16,
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config))
    started = time.monotonic()
    model.train()
    for step, parts in enumerate(islice(loader, config.steps), 1):
        optimizer.zero_grad(set_to_none=True)
        loss = learn(model, parts)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        last = step == config.steps
        if last or step % _TOLD_EVERY == 0:
            measured = last or step % _MEASURED_EVERY == 0
            exact = exact_share(model, tokenizer, families, seed) if measured else None
            yield Progress(step, loss.item(), exact, time.monotonic() - started)


def learn(model: PreTrainedModel, parts: Sequence[Batch]) -> torch.Tensor:
    """Adds the gradient of a batch in parts, and gives its loss (): the weighted mean cross-entropy of a token."""
    whole = float(sum(weights[:, 1:].sum() for _, _, weights in parts))
    loss = torch.zeros((), device=model.device)
    for part in parts:
        own = _summed_loss(model, *(tensor.to(model.device) for tensor in part)) / whole
        own.backward()
        loss += own.detach()
    return loss


def _summed_loss(model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of the next token summed over (B, T) ids, each position weighted."""
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=ids.is_cuda):
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
    return (losses * weights[:, 1:].flatten()).sum()


def by_length(rows: Sequence[tuple[list[int], int]], pad_id: int) -> list[Batch]:
    """A batch in a few parts of rows of about one length."""
    ordered = sorted(rows, key=lambda row: len(row[0]))
    size = math.ceil(len(ordered) / _PARTS)
    return [collate(ordered[first : first + size], pad_id) for first in range(0, len(ordered), size)]


def collate(rows: Sequence[tuple[list[int], int]], pad_id: int) -> Batch:
    """Ids (B, T), attention mask (B, T) and loss weights (B, T), padded on the right."""
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), pad_id)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    weights = torch.zeros((len(rows), longest))
    for i, (tokens, prompt) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        mask[i, : len(tokens)] = 1
        weights[i, :prompt] = _PROMPT_WEIGHT
        weights[i, prompt : len(tokens)] = 1.0
    return ids, mask, weights


def _rate(step: int, config: PretrainConfig) -> float:
    """Warm-up, then a cosine to a fiftieth, as a factor of the learning rate."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@torch.no_grad()
def exact_share(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, families: Sequence[Family], seed: int, count: int = 512
) -> float:
    """Share of dev problems whose every solution token is the likeliest one: a lower bound of the share solved."""
    model.eval()
    problems = islice(draws(families, "dev", seed), count)
    rows = [encode_dialogue(tokenizer, coded(draw)) for draw in problems]
    ids, mask, weights = (tensor.to(model.device) for tensor in collate(rows, model.config.pad_token_id))
    right = model(input_ids=ids, attention_mask=mask).logits[:, :-1].argmax(-1) == ids[:, 1:]
    exact = (right | (weights[:, 1:] < 1.0)).all(1).float().mean()
    model.train()
    return float(exact)


def save_base(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Writes the folder that ships in the package, and the digest of each of its files."""
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.float16).save_pretrained(out)
    for told_when_loaded in ("is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(told_when_loaded, None)
    tokenizer.save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)  # safetensors writes for its owner only, and a package is for everyone
    (out / "DIGESTS.json").write_text(json.dumps(asset_digests(out), indent=1) + "\n")
