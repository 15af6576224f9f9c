"""What a resumed stage finds: complete checkpoints, and the order of prompts that it left off in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments
from trl.trainer.utils import RepeatSampler

from clarify_rl.config import SFTSection
from clarify_rl.errors import ConfigError
from clarify_rl.policies.models import load_model
from clarify_rl.store import Run
from clarify_rl.training.checkpoints import COMPLETE, MarkComplete, check_saving, newest_checkpoint
from clarify_rl.training.grpo import EpochSampler
from clarify_rl.training.sft import sft_config, train_sft
from tests.dialogues import ASK, CLEAR, DESC, UNCLEAR, play


def read(*epochs: int, shuffle: bool = True) -> list[list[int]]:
    """What one sampler yields in these epochs, one after another."""
    order = RepeatSampler(range(20), mini_repeat_count=2, batch_size=4, shuffle=shuffle, seed=1)
    left = list(epochs)
    sampler = EpochSampler(order, seed=1, epoch=lambda: left.pop(0))
    assert len(sampler) == 40
    return [list(sampler) for _ in epochs]


def test_a_later_epoch_has_the_same_order_whether_or_not_the_earlier_ones_were_read() -> None:
    assert read(0, 1, 2)[2] == read(2)[0]


def test_each_epoch_has_an_order_of_its_own() -> None:
    assert len(set(map(tuple, read(0, 1, 2, 3)))) == 4


def test_data_that_are_not_shuffled_keep_their_order() -> None:
    assert read(0, 1, shuffle=False) == [[index for index in range(20) for _ in range(2)]] * 2


def checkpoint(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "trainer_state.json").write_text("{}")
    return made


def test_a_checkpoint_that_a_crash_left_incomplete_is_removed_and_not_resumed(tmp_path: Path) -> None:
    whole, broken = checkpoint(tmp_path, 2), checkpoint(tmp_path, 4)
    (whole / COMPLETE).touch()
    assert newest_checkpoint(tmp_path) == str(whole)
    assert not broken.exists()


def test_without_a_complete_checkpoint_a_stage_starts_anew(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
    checkpoint(tmp_path, 2)
    assert newest_checkpoint(tmp_path) is None


def test_a_checkpoint_is_marked_once_it_is_written(tmp_path: Path) -> None:
    made = checkpoint(tmp_path, 3)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    MarkComplete().on_save(arguments, TrainerState(global_step=3), TrainerControl())
    assert (made / COMPLETE).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_total_limit": 1}, "rl.trainer.save_total_limit=1 deletes the old checkpoint"),
        ({"save_steps": 3}, "rl.trainer.save_steps=3 would save in the middle.*Take a multiple of 6"),
        ({"save_steps": 0.5}, "rl.trainer.save_steps=0.5 would save in the middle.*Take a multiple of 6"),
        ({"gradient_accumulation_steps": 4}, "rl.trainer.gradient_accumulation_steps=4: .* divide 6, or be a multiple"),
        ({"save_only_model": True}, "rl.trainer.save_only_model: .* start the optimizer anew"),
        ({"ignore_data_skip": True}, "rl.trainer.ignore_data_skip: .* start the order of the data anew"),
    ],
)
def test_a_way_of_saving_that_cannot_be_resumed_exactly_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:  # Any: options of transformers
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, save_strategy="steps", **options)
    with pytest.raises(ConfigError, match=message):
        check_saving("rl.trainer", arguments, micro_batches=6)


@pytest.mark.parametrize(
    "options",
    [
        {"save_steps": 6},
        {"save_steps": 2, "gradient_accumulation_steps": 3},
        {"save_steps": 1, "gradient_accumulation_steps": 6},
        {"save_steps": 0.5, "gradient_accumulation_steps": 12},
        {"save_steps": 5, "save_strategy": "epoch"},
    ],
)
def test_a_checkpoint_at_the_end_of_a_batch_of_episodes_is_taken(tmp_path: Path, options: dict[str, Any]) -> None:
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **{"save_strategy": "steps", **options})
    check_saving("rl.trainer", arguments, micro_batches=6)


def test_checkpoints_stay_where_a_resumed_run_looks_for_them(tmp_path: Path) -> None:
    section = SFTSection(trainer={"output_dir": str(tmp_path / "elsewhere")})
    with pytest.raises(ConfigError, match=r"sft\.trainer\.output_dir: .* leave output_dir out"):
        sft_config(section, tmp_path, 0)


SFT = {
    "per_device_train_batch_size": 1,
    "learning_rate": 1e-3,
    "eval_strategy": "steps",
    "eval_steps": 1,
    "save_strategy": "steps",
    "save_steps": 1,
    "load_best_model_at_end": True,
    "metric_for_best_model": "eval_loss",
    "max_length": None,
}


@pytest.mark.parametrize(
    "options",
    [{"max_steps": 3, "learning_rate": 1e-3}, {"max_steps": 9, "learning_rate": 1.0}],
    ids=["the last step", "no progress"],
)
def test_sft_that_ended_takes_no_further_step_when_its_model_was_not_written(
    tmp_path: Path, options: dict[str, float]
) -> None:
    episodes = play((UNCLEAR, [ASK, DESC]), (CLEAR, [DESC]), (UNCLEAR, [ASK, DESC]), (CLEAR, [DESC]))
    section = SFTSection(trainer={**SFT, **options}, patience=1)
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as run:
        weights = run.model_folder("sft") / "model.safetensors"
        train_sft(load_model("embedded", device="cpu"), episodes, episodes, section, run, 0)
        before, seen = weights.read_bytes(), run.read_metrics()
        assert all(float(row["step"]) < 5 for row in seen)
        shutil.rmtree(run.model_folder("sft"))
        train_sft(load_model("embedded", device="cpu"), episodes, episodes, section, run, 0)
        assert run.read_metrics() == seen
        assert weights.read_bytes() == before


class PowerCutError(Exception):
    pass


def test_a_resumed_sft_has_no_more_patience_than_one_that_was_not_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only gets worse: three evaluations without progress, of which the first was before the crash."""
    episodes = play((UNCLEAR, [ASK, DESC]), (CLEAR, [DESC]))
    section = SFTSection(trainer={**SFT, "max_steps": 9, "learning_rate": 1.0}, patience=3)

    def train(run: Run) -> list[tuple[float, float]]:
        train_sft(load_model("embedded", device="cpu"), episodes, episodes, section, run, 0)
        return [(float(row["step"]), float(row["eval/loss"])) for row in run.read_metrics() if "eval/loss" in row]

    mark = MarkComplete.on_save

    def die_at_2(self: MarkComplete, args: Any, state: TrainerState, control: Any) -> None:  # Any: transformers'
        mark(self, args, state, control)
        if state.global_step == 2:
            raise PowerCutError

    with Run.create(tmp_path / "whole", "seed: 0\n", ["pytest"]) as run:
        whole = train(run)
    with Run.create(tmp_path / "cut", "seed: 0\n", ["pytest"]) as run:
        with monkeypatch.context() as patched:
            patched.setattr(MarkComplete, "on_save", lambda *args, **_: die_at_2(*args))
            with pytest.raises(PowerCutError):
                train(run)
        assert train(run) == whole
    assert [step for step, _ in whole] == [1, 2, 3, 4]
    assert (tmp_path / "whole/models/sft/model.safetensors").read_bytes() == (
        tmp_path / "cut/models/sft/model.safetensors"
    ).read_bytes()


def test_sft_without_evaluation_trains_to_its_last_step(tmp_path: Path) -> None:
    episodes = play((UNCLEAR, [ASK, DESC]), (CLEAR, [DESC]))
    never = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "logging_steps": 1}
    section = SFTSection(trainer={**SFT, **never, "max_steps": 3})
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as run:
        train_sft(load_model("embedded", device="cpu"), episodes, episodes, section, run, 0)
        assert [row["step"] for row in run.read_metrics()] == [1, 2, 3]
