"""A reference that is a model of its own: what TRL can read as one, and one that follows the policy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch
from transformers import TrainerState
from trl import GRPOConfig

from clarify_rl.config import Config, RewardConfig
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ConfigError
from clarify_rl.policies.models import load_model
from clarify_rl.pool import LocalPool
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run
from clarify_rl.training.reference import MoveReference, check_reference
from clarify_rl.training.rl import train_rl
from tests.dialogues import CLEAR, TELLING, UNCLEAR, chat
from tests.ppo_world import tiny_model


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


def train(run: Run, algorithm: str, **options: object) -> bytes:
    """The weights after three steps."""
    trainer = {
        "max_steps": 3,
        "save_steps": 1,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 3e-3,
        "temperature": 1.5,
        "beta": 0.2,
        **options,
    }
    rewards = tuple(RewardConfig(use=spec.use, weight=spec.weight) for spec in TELLING.rewards)
    made = Config(rl=RLSection.model_validate({"algorithm": algorithm, "trainer": trainer}), rewards=rewards)
    limits = DialogueLimits(max_questions=1, turn_tokens=30, total_tokens=100)
    begin = train_rl
    with closing(LocalPool(TELLING)) as pool:
        folder = begin(load_model("embedded", device="cpu"), [UNCLEAR, CLEAR], pool, chat(), limits, made, run)
    return (folder / "model.safetensors").read_bytes()


def divergence(run: Run) -> list[float]:
    return [row["train/kl"] for row in map(json.loads, (run.folder / "metrics.jsonl").open()) if "train/kl" in row]


MOVING = {"sync_ref_model": True, "ref_model_sync_steps": 1, "ref_model_mixup_alpha": 0.5}


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_a_resumed_run_goes_on_with_the_reference_where_it_had_moved_to(run: Run, algorithm: str) -> None:
    before, told = train(run, algorithm, **MOVING), divergence(run)
    shutil.rmtree(run.model_folder("rl"))
    shutil.rmtree(run.folder / "checkpoints" / "rl" / "checkpoint-3")
    assert train(run, algorithm, **MOVING) == before
    assert divergence(run) == told


def test_a_reference_that_follows_is_nearer_than_one_that_stays(run: Run, tmp_path: Path) -> None:
    train(run, "ppo", **{**MOVING, "ref_model_mixup_alpha": 1.0})
    with Run.create(tmp_path / "stays", "seed: 0\n", ["pytest"]) as other:
        train(other, "ppo")
        assert divergence(run)[:1] == divergence(other)[:1]
        assert divergence(run)[2] == pytest.approx(0.0, abs=1e-6)
        assert divergence(other)[2] > 0.1


def test_a_reference_moves_a_share_of_the_way_every_few_steps_and_knows_no_critic() -> None:
    policy, reference = tiny_model(1), tiny_model(2)
    began = {name: weight.clone() for name, weight in reference.named_parameters()}
    policy.critic = torch.nn.Linear(2, 1)
    args = GRPOConfig(ref_model_sync_steps=2, ref_model_mixup_alpha=0.25, bf16=False, use_cpu=True)
    for step, moved in ((1, 0.0), (2, 0.25)):
        MoveReference(reference).on_step_end(args, TrainerState(global_step=step), None, model=policy)
        for name, weight in reference.named_parameters():
            wanted = (1 - moved) * began[name] + moved * policy.get_parameter(name)
            assert torch.allclose(weight, wanted, atol=1e-6)


def test_a_file_that_trl_cannot_read_as_a_reference_is_told_what_to_do() -> None:
    with_reference = GRPOConfig(beta=0.1, bf16=False, use_cpu=True)
    with pytest.raises(ConfigError, match=r"beta=0\.1: .* clarify-rl export tiny\.gguf --out base\. Then: model\.base"):
        check_reference("tiny.gguf", None, with_reference)
    check_reference("tiny.gguf", {"r": 4}, with_reference)
    check_reference("tiny.gguf", None, GRPOConfig(beta=0.0, bf16=False, use_cpu=True))
    check_reference("models/sft", None, with_reference)
