"""Without questions our trainer is TRL's: the same samples, rewards, losses and weights as plain `trl.GRPOTrainer`.

Nothing is fed to either side. TRL generates with transformers' `generate`, tokenizes and scores by itself; ours goes
through the dialogue loop, its own decoding and the pool. Both draw from torch's one generator, which each seeds alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from clarify_rl.config import Config, EnvConfig, RewardConfig
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.policies import hf
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.policies.models import load_model
from clarify_rl.pool import LocalPool, RewardSpec
from clarify_rl.rl_sections import GroupsSection, RLSection
from clarify_rl.sections import Lora
from clarify_rl.store import Run
from clarify_rl.training.adapters import lora_config
from clarify_rl.training.groups import Groups
from clarify_rl.training.grpo import DialogueGRPOTrainer, Rollouts, grpo_config, prompt_dataset, reward_function
from clarify_rl.types import Episode, Exchange, Request, Sample, Turn, Variant
from tests.dialogues import CLEAR, SPEC, UNCLEAR, chat

VARIANTS = (UNCLEAR, CLEAR, Variant("p/desc/short", UNCLEAR.problem, "Write f(xs)."))
REWARDS = (RewardSpec("pass_rate"), RewardSpec(f"{Path(__file__).parents[1] / 'plugins.py'}:letters", 0.5))
POOL = replace(SPEC, rewards=REWARDS)
STEPS = 2


class OfOneGenerator(HFPolicy):
    """HFPolicy on torch's own generator, so that it draws the numbers that transformers' `generate` would draw."""

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        with torch.inference_mode(), hf._evaluating(self.model):
            decoding = hf._Decoding(self, requests, torch.default_generator)
            while decoding.rows:
                decoding.step()
        return [Sample(tuple(ids), None, ids[-1] in self.end_ids) for ids in decoding.token_ids]


@dataclass
class Trained:
    """What a trainer logged and what it made."""

    log: list[dict[str, Any]]  # Any: TRL's own numbers
    before: torch.Tensor
    after: torch.Tensor
    completions: list[tuple[int, ...]]


def config(lora: Lora = None, **trainer: object) -> Config:
    options = {
        "max_steps": STEPS,
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 3,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "temperature": 1.0,
        "beta": 0.1,
        "save_strategy": "no",
        "shuffle_dataset": False,
        "gradient_checkpointing": False,
    }
    rewards = tuple(RewardConfig(use=spec.use, weight=spec.weight) for spec in REWARDS)
    return Config(
        rl=RLSection(trainer={**options, **trainer}, lora=lora), rewards=rewards, env=EnvConfig(max_failed_share=0.0)
    )


def trl_config(made: Config, folder: Path, tokens: int) -> GRPOConfig:
    assert made.rl is not None
    sized = made.model_copy(update={"dialogue": made.dialogue.model_copy(update={"total_tokens": tokens})})
    return grpo_config(sized, made.rl, folder)


def ours(made: Config, folder: Path, tokens: int = 48) -> Trained:
    """Dialogues without questions."""
    loaded = load_model("embedded", device="cpu")
    limits = DialogueLimits(max_questions=0, turn_tokens=tokens, total_tokens=tokens)
    with Run.create(folder / "run", "seed: 0\n", ["pytest"]) as run, closing(LocalPool(POOL)) as pool:
        trainer = DialogueGRPOTrainer(
            rollouts=Rollouts(Groups(GroupsSection(), VARIANTS, 4), pool, chat(), limits, run, 0, 0.0),
            model=loaded.model,
            reward_funcs=[reward_function(item.use, i, item.weight) for i, item in enumerate(made.rewards)],
            args=trl_config(made, folder, tokens),
            train_dataset=prompt_dataset(VARIANTS, chat()),
            processing_class=loaded.tokenizer,
            peft_config=adapter(made),
        )
        return trained(trainer, lambda: [e.completion_ids for e in run.read_episodes("rl", VARIANTS)])


def theirs(made: Config, folder: Path, tokens: int = 48) -> Trained:
    """Plain TRL, with a reward function for each reward."""
    loaded = load_model("embedded", device="cpu")
    seen: list[tuple[int, ...]] = []
    with closing(LocalPool(POOL)) as pool:
        trainer = GRPOTrainer(
            model=loaded.model,
            reward_funcs=[scorer(pool, i, seen) for i in range(len(made.rewards))],
            args=trl_config(made, folder, tokens),
            train_dataset=prompt_dataset(VARIANTS, chat()),
            processing_class=loaded.tokenizer,
            peft_config=adapter(made),
        )
        return trained(trainer, lambda: seen)


def adapter(made: Config) -> LoraConfig | None:
    return lora_config("rl.lora", made.rl.lora if made.rl else None)


def scorer(pool: LocalPool, index: int, seen: list[tuple[int, ...]]) -> Any:  # Any: TRL's kind of reward function
    """Runs the code of a completion as TRL hands it over, and gives one reward's score."""

    def score(
        completions: Sequence[Any], completion_ids: Sequence[list[int]], variant_index: Sequence[int], **_: object
    ) -> list[float | None]:
        if index == 0:
            seen.extend(map(tuple, completion_ids))
        replies = [
            parse_reply(message["content"], finished=ids[-1] in chat().end_ids)
            for (message,), ids in zip(completions, completion_ids, strict=True)
        ]
        variants = [VARIANTS[i] for i in variant_index]
        responses = pool.respond(
            [Exchange(variant, (), reply, True, 0) for variant, reply in zip(variants, replies, strict=True)]
        )
        episodes = []
        for variant, reply, response in zip(variants, replies, responses, strict=True):
            assert response.stop is not None
            episodes.append(Episode("e", variant, 0, (Turn(reply),), response.stop, response.execution))
        return [scores[index].value for scores in pool.score(episodes)]

    score.__name__ = REWARDS[index].use
    return score


def trained(trainer: GRPOTrainer, completions: Any) -> Trained:  # Any: a function
    trainer.remove_callback(PrinterCallback)
    before = weights(trainer)
    trainer.train()
    return Trained(trainer.state.log_history, before, weights(trainer), completions())


def weights(trainer: GRPOTrainer) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])


@pytest.fixture(autouse=True)
def one_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    def policy(self: Rollouts, trainer: DialogueGRPOTrainer) -> HFPolicy:
        made = trainer.accelerator.unwrap_model(trainer.model)
        return OfOneGenerator(made, chat().end_ids, trainer.processing_class.pad_token_id, trainer.args.temperature)

    monkeypatch.setattr(Rollouts, "_policy", policy)
    monkeypatch.setattr(hf, "_COMPACT_AT", 1e-9)  # transformers draws a number for rows that have ended, too


SGD = {"optim": "sgd", "learning_rate": 0.05}


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (SGD, 1e-4),
        ({}, 1e-3),  # Adam divides by gradients, the tiny ones included, whose last digits are noise
        ({"num_iterations": 2, "max_steps": 4}, 1e-3),
        ({"lora": {"r": 4, "target_modules": "all-linear"}, "learning_rate": 0.01}, 1e-3),
        ({**SGD, "loss_type": "dr_grpo"}, 1e-4),
        *(
            pytest.param(more, within, marks=pytest.mark.slow)
            for more, within in (
                ({"gradient_accumulation_steps": 1, "per_device_train_batch_size": 12}, 1e-3),
                ({**SGD, "loss_type": "grpo"}, 1e-4),
                ({**SGD, "loss_type": "bnpo"}, 1e-4),
                ({**SGD, "entropy_coef": 0.1}, 1e-4),
                ({**SGD, "top_entropy_quantile": 0.5}, 1e-4),
            )
        ),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) or "adamw" if isinstance(value, dict) else "",
)
def test_without_questions_training_is_that_of_trl(options: dict[str, Any], tolerance: float, tmp_path: Path) -> None:
    mine, plain = ours(config(**options), tmp_path / "ours"), theirs(config(**options), tmp_path / "theirs")
    assert mine.completions == plain.completions
    assert len(set(mine.completions)) > len(mine.completions) / 2
    assert any(row["reward_std"] > 0 for row in plain.log[:-1])
    for ours_row, their_row in zip(mine.log[:-1], plain.log[:-1], strict=True):
        rewards = [name for name in their_row if name.startswith("reward")]
        assert {name: ours_row[name] for name in rewards} == {name: their_row[name] for name in rewards}
        if options.get("gradient_accumulation_steps") == 1:  # else these are means of means over other micro-batches
            told = ["kl", "entropy"]
            assert [ours_row[x] for x in told] == pytest.approx([their_row[x] for x in told], rel=tolerance, abs=1e-6)
        assert ours_row["loss"] == pytest.approx(their_row["loss"], rel=tolerance, abs=1e-6)
        assert ours_row["grad_norm"] == pytest.approx(their_row["grad_norm"], rel=tolerance)
    assert torch.equal(mine.before, plain.before)
    assert 0 < (plain.after - plain.before).norm() >= (plain.after - mine.after).norm() / tolerance
