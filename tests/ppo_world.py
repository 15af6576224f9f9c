"""A world of eight words in which PPO can be checked by hand: a tiny model speaks twice, and a user in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig

from clarify_rl.policies.hf import HFPolicy
from clarify_rl.rl_sections import PPOSection
from clarify_rl.training.groups import GenerationBatch
from clarify_rl.training.grpo import reward_function
from clarify_rl.training.ppo import DialoguePPOTrainer
from clarify_rl.types import Episode, Request, Score, Stop
from tests.dialogues import CLEAR

WORDS = ("<pad>", "<eos>", "a", "b", "c", "d", "e", "f")
USER = (2, 3)
Judge = Callable[[Episode], float | None]


@dataclass
class World:
    """Episodes of one to three words of the policy, two of the user, and one to three words of the policy."""

    judge: Judge
    prompts: Sequence[tuple[int, ...]] = ((2,), (2, 3, 4))
    numbers: dict[str, float] = field(default_factory=dict)
    episodes: list[list[Episode]] = field(default_factory=list)

    def __call__(self, trainer: Any, rows: Sequence[int]) -> GenerationBatch:  # Any: PPO's trainer, or that of GRPO
        step = len(self.episodes)
        contexts = [self.prompts[row % len(self.prompts)] for row in rows]
        first = self._speak(trainer, contexts, step, 0)
        second = self._speak(trainer, [(*c, *words, *USER) for c, words in zip(contexts, first, strict=True)], step, 1)
        made = [
            self._episode(f"{step}/{i}", *parts) for i, parts in enumerate(zip(contexts, first, second, strict=True))
        ]
        self.episodes.append(made)
        return GenerationBatch(tuple(rows), tuple(made))

    def _speak(
        self, trainer: Any, contexts: Sequence[tuple[int, ...]], step: int, turn: int
    ) -> list[tuple[int, ...]]:  # Any: as above
        policy = HFPolicy(trainer.accelerator.unwrap_model(trainer.model), frozenset({1}), 0)
        requests = [Request(c, 1 + (i + turn) % 3, f"{step}/{i}", turn, i) for i, c in enumerate(contexts)]
        return [sample.token_ids for sample in policy.generate(requests)]

    def _episode(self, name: str, prompt: tuple[int, ...], first: tuple[int, ...], second: tuple[int, ...]) -> Episode:
        mask = (1,) * len(first) + (0,) * len(USER) + (1,) * len(second)
        words = (*first, *USER, *second)
        plain = Episode(name, CLEAR, 0, (), Stop.CODE, prompt_ids=prompt, completion_ids=words, policy_mask=mask)
        return Episode(**{**vars(plain), "scores": (Score("judge", self.judge(plain)),)})


def own_words(episode: Episode) -> list[int]:
    return [word for word, own in zip(episode.completion_ids, episode.policy_mask, strict=True) if own]


def tiny_model(seed: int = 0) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    shape = Qwen2Config(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
    )
    return Qwen2ForCausalLM(shape)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


def make_trainer(
    folder: Path,
    world: World,
    options: PPOSection,
    kind: type[DialoguePPOTrainer] = DialoguePPOTrainer,
    model: Any = None,  # Any: transformers' own type
    **trainer: object,
) -> DialoguePPOTrainer:
    """The trainer of PPO in this world, eight episodes an update unless told otherwise."""
    wanted = {
        "output_dir": str(folder),
        "max_steps": 1,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "beta": 0.0,
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "shuffle_dataset": False,
        "logging_steps": 1,
        "ddp_find_unused_parameters": False,
    }
    made = kind(
        options=options,
        rollouts=world,
        model=model or tiny_model(),
        reward_funcs=[reward_function("judge", 0)],
        args=GRPOConfig(**{**wanted, **trainer}),
        train_dataset=Dataset.from_dict({"prompt": ["a", "b"] * 4, "variant_index": list(range(8))}),
        processing_class=tiny_tokenizer(),
    )
    made.remove_callback(PrinterCallback)
    return made
