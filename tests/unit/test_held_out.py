"""Held-out evaluation while RL trains: what it keeps, when it ends training, and that training does not notice it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from clarify_rl.config import Config, EnvConfig, RewardConfig
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ClarifyError, RunFolderError
from clarify_rl.policies.models import load_model
from clarify_rl.pool import LocalPool
from clarify_rl.rl_sections import EvaluationSection, HealthSection, RLSection
from clarify_rl.store import Run
from clarify_rl.training import grpo, held_out
from clarify_rl.training.best import keep_only, keep_weights, restore_weights
from clarify_rl.training.checkpoints import MarkComplete
from clarify_rl.training.critic import FILE
from clarify_rl.training.held_out import HeldOut, best_folder, held_out_numbers, standing
from clarify_rl.training.rl import train_rl
from clarify_rl.types import Policy, Request, Sample
from tests.dialogues import ASC, ASK, CLEAR, DESC, TELLING, UNCLEAR, chat, encode, play
from tests.ppo_world import tiny_model

LIMITS = DialogueLimits(max_questions=1, turn_tokens=40, total_tokens=120)
LORA = {"r": 4, "target_modules": "all-linear"}


@dataclass(frozen=True)
class Pupil(Policy):
    """Solves the held-out problems only after the steps in `good`."""

    good: frozenset[int]
    end_id: int

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return [self._sample(request) for request in requests]

    def _sample(self, request: Request) -> Sample:
        knows = int(request.episode_id.split("/")[1]) in self.good
        ids = (*encode(DESC if knows else ASC), self.end_id)
        return Sample(ids[: request.max_new_tokens], None, True)


def pupil(monkeypatch: pytest.MonkeyPatch, *good: int) -> None:
    monkeypatch.setattr(
        held_out, "HFPolicy", lambda model, ends, pad, temperature, size: Pupil(frozenset(good), min(ends))
    )


def config(
    evaluation: Mapping[str, object] | None = None,
    *,
    algorithm: Literal["grpo", "ppo"] = "grpo",
    lora: dict[str, Any] | None = None,
    health: HealthSection | None = None,
    **trainer: object,
) -> Config:
    options = {
        "max_steps": 4,
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 3e-3,
        "lr_scheduler_type": "constant",
        "temperature": 1.5,
        "beta": 0.0,
        "save_steps": 2,
        "shuffle_dataset": False,
    }
    section = RLSection(
        algorithm=algorithm,
        trainer={**options, **trainer},
        lora=lora,
        evaluation=EvaluationSection.model_validate(evaluation or {}),
        health=health or HealthSection(),
    )
    rewards = tuple(RewardConfig(use=spec.use, weight=spec.weight) for spec in TELLING.rewards)
    return Config(rl=section, rewards=rewards, env=EnvConfig(max_failed_share=0.1))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with new_run(tmp_path / "run") as made:
        yield made


def new_run(folder: Path) -> Run:
    made = Run.create(folder, "seed: 0\n", ["pytest"])
    made.write_variants("rl_dev", [UNCLEAR, CLEAR])
    return made


def train(run: Run, made: Config) -> Path:
    assert made.rl is not None
    loaded = load_model("embedded", device="cpu")
    with closing(LocalPool(TELLING)) as pool:
        begin = train_rl
        return begin(loaded, [UNCLEAR, CLEAR], pool, chat(), LIMITS, made, run)


def record(run: Run, *, evaluations: bool = True) -> list[dict[str, object]]:
    """The rows of a record without what a clock decides, with or without those of evaluations."""
    clock = ("time/", "rollout/tokens_per_s")
    rows: list[dict[str, object]] = [
        {name: value for name, value in row.items() if not name.startswith(clock)} for row in run.read_metrics()
    ]
    return [row for row in rows if evaluations or "eval/solved" not in row]


def episodes(run: Run, name: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run.folder / "episodes" / f"{name}.jsonl").read_text().splitlines()]
    for row in rows:
        for clock in ("cpu_s", "wall_s"):
            (row["execution"] or {}).pop(clock, None)
    return rows


def kept(run: Run) -> list[str]:
    return sorted(path.name for path in best_folder(run).iterdir())


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def evaluated(run: Run) -> list[tuple[object, object]]:
    return [(row["step"], row["eval/solved"]) for row in record(run) if "eval/solved" in row]


# ---- what the evaluations say


def rows(*values: float, name: str = "eval/solved") -> list[dict[str, object]]:
    return [{"stage": "rl", "step": 10 * i, name: value} for i, value in enumerate(values)]


def test_the_first_of_equals_is_the_best() -> None:
    found = standing(rows(0.1, 0.5, 0.3, 0.5, 0.4), "solved")
    assert found == held_out.Standing(best_step=10, best=0.5, last_step=40, last=0.4, number=5, since_best=3)


def test_only_evaluations_of_rl_by_the_metric_count() -> None:
    others = [{"stage": "sft", "step": 99, "eval/solved": 1.0}, {"stage": "rl", "step": 1, "train/loss": 0.1}]
    found = standing([*others, *rows(0.2), *rows(0.9, name="eval/reward")], "solved")
    assert found is not None
    assert (found.best, found.number) == (0.2, 1)
    assert standing(others, "solved") is None


def test_an_evaluation_has_its_counts_and_leaves_out_what_it_cannot_tell() -> None:
    told = held_out_numbers(play((UNCLEAR, [ASK, DESC]), (UNCLEAR, [ASC])))
    assert (told["eval_episodes"], told["eval_failed"], told["eval_solved"], told["eval_asked_unclear"]) == (
        2,
        0,
        0.5,
        0.5,
    )
    assert told["eval_reward"] == pytest.approx((1 + 0.1 + 2 / 3) / 2)
    assert "eval_asked_clear" not in told


# ---- weights


def test_kept_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    first, second = tiny_model(0), tiny_model(1)
    keep_weights(first, tmp_path, 3)
    restore_weights(second, tmp_path, 3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_what_training_does_not_change_is_not_kept(tmp_path: Path) -> None:
    model = tiny_model()
    for name, weight in model.named_parameters():
        weight.requires_grad_(name == "lm_head.weight")
    keep_weights(model, tmp_path, 1)
    assert load_file(tmp_path / "step-1" / "weights.safetensors").keys() == {"lm_head.weight"}


def test_half_written_weights_are_removed_and_never_restored(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        keep_weights(tiny_model(), tmp_path, step)
    (tmp_path / "step-2" / "COMPLETE").unlink()
    (tmp_path / ".step-4.tmp").mkdir()
    with pytest.raises(RunFolderError, match="The weights of step 2 are gone"):
        restore_weights(tiny_model(), tmp_path, 2)
    keep_only(tmp_path, {2, 3})
    assert [path.name for path in tmp_path.iterdir()] == ["step-3"]


# ---- in training


def test_the_best_policy_becomes_the_model_and_the_run_says_which(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pupil(monkeypatch, 2, 3)
    folder = train(run, config({"every": 1, "metric": "solved"}))
    assert evaluated(run) == [(0, 0.0), (1, 0.0), (2, 1.0), (3, 1.0), (4, 0.0)]
    assert weights_of(folder) == weights_of(run.folder / "checkpoints" / "rl" / "checkpoint-2")
    assert weights_of(folder) != weights_of(run.folder / "checkpoints" / "rl" / "checkpoint-4")
    assert kept(run) == ["step-2"]
    assert run.info()["models/rl"] == (
        "the policy of step 2, the best of 5 held-out evaluations: solved 1.000, 0.000 at step 4, the last"
    )


def test_a_policy_that_only_gets_worse_is_given_up_for_its_start(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pupil(monkeypatch, 0)
    folder = train(run, config({"every": 2}, max_steps=2))
    start = load_model("embedded", device="cpu").model
    found = load_model(str(folder), device="cpu").model
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), found.parameters(), strict=True))


def test_training_ends_after_evaluations_without_progress(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pupil(monkeypatch, 1, 2)
    train(run, config({"every": 1, "patience": 2}, max_steps=9))
    assert [row["step"] for row in record(run, evaluations=False)] == [1, 2, 3]
    assert "Training ends at step 3: 2 held-out evaluations brought no progress since step 1" in capsys.readouterr().out
    assert kept(run) == ["step-1"]


def test_without_patience_training_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pupil(monkeypatch, 0)
    train(run, config({"every": 1, "patience": None}))
    assert [step for step, _ in evaluated(run)] == [0, 1, 2, 3, 4]


def test_the_last_step_is_evaluated_too(run: Run) -> None:
    train(run, config({"every": 3}))
    assert [step for step, _ in evaluated(run)] == [0, 3, 4]
    assert [row["step"] for row in episodes(run, "rl-dev")] == [0, 0, 3, 3, 4, 4]


def test_an_alarm_ends_training_with_the_best_policy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pupil(monkeypatch, 1)
    stop = HealthSection(window=2, zero_variance=0.0, stop_on=("zero_variance",))
    folder = train(run, config({"every": 1}, health=stop, max_steps=9))
    steps = [row["step"] for row in record(run, evaluations=False) if "train/loss" in row]
    assert len(steps) < 9
    assert [row["step"] for row in run.read_metrics() if "alarm/zero_variance" in row] == steps[-1:]
    assert run.info()["models/rl"].startswith("the policy of step 1,")
    assert weights_of(folder) != weights_of(run.folder / "checkpoints" / "rl" / "checkpoint-2")


def test_the_policy_at_which_an_alarm_ended_training_is_evaluated_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil(monkeypatch, 2)
    stop = HealthSection(window=2, zero_variance=0.0, stop_on=("zero_variance",))
    train(run, config({"every": 9}, health=stop, max_steps=9))
    last = max(int(str(row["step"])) for row in record(run, evaluations=False))
    assert last < 9
    assert evaluated(run) == [(0, 0.0), (last, 1.0)]
    assert run.info()["models/rl"].startswith(f"the policy of step {last}, the best of 2")


def test_a_run_that_dies_at_its_end_by_an_alarm_has_the_last_evaluation(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil(monkeypatch, 2)
    stop = HealthSection(window=2, zero_variance=0.0, stop_on=("zero_variance",))
    made = config({"every": 9}, health=stop, max_steps=9, save_steps=1)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(MarkComplete, "on_train_end", die)  # the last checkpoint is written, the model is not
        with pytest.raises(KeyboardInterrupt):
            train(run, made)
    folder = train(run, made)
    last = max(int(str(row["step"])) for row in record(run, evaluations=False))
    assert evaluated(run) == [(0, 0.0), (last, 1.0)]
    assert weights_of(folder) == weights_of(run.folder / "checkpoints" / "rl" / f"checkpoint-{last}")


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_training_does_not_notice_that_it_is_evaluated(
    run: Run, tmp_path: Path, algorithm: Literal["grpo", "ppo"]
) -> None:
    """Bit for bit: the record, every episode, and the state of all random numbers and weights at the end."""
    train(run, config({"every": 1, "patience": None}, algorithm=algorithm))
    with new_run(tmp_path / "without") as other:
        train(other, config(algorithm=algorithm))
        assert record(run, evaluations=False) == record(other)
        assert len({tuple(row["completion_ids"]) for row in episodes(other, "rl")}) > 16
        assert episodes(run, "rl") == episodes(other, "rl")
        last = Path("checkpoints", "rl", "checkpoint-4")
        for name in ("model.safetensors", "optimizer.pt", "rng_state.pth"):
            assert (run.folder / last / name).read_bytes() == (other.folder / last / name).read_bytes(), name


def test_reporters_see_our_numbers_and_those_of_evaluations(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, dict[str, float]]] = []

    class Reporter(TrainerCallback):  # type: ignore[misc] # transformers' classes are Any here
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # Any: transformers'
            seen.append((state.global_step, dict(logs)))

    plain = grpo.DialogueGRPOTrainer.__init__

    def reporting(self: Any, *args: Any, **kwargs: Any) -> None:  # Any: TRL's own signature
        plain(self, *args, **kwargs)
        # Where transformers puts wandb, tensorboard and their like: behind its own, before those of a trainer.
        self.callback_handler.callbacks.insert(1, Reporter())

    monkeypatch.setattr(grpo.DialogueGRPOTrainer, "__init__", reporting)
    train(run, config({"every": 1}, max_steps=1, health=HealthSection(window=1, zero_variance=0.0)))
    (_, first), (step, second), (_, training) = seen[:3]
    assert [first["eval_reward"], second["eval_reward"]] == [row["eval/reward"] for row in record(run)[:2]]
    assert step == 1
    assert not {"entropy", "reward", "loss"} & second.keys()
    assert {
        "loss",
        "entropy",
        "reward",
        "episode/solved",
        "reward/pass_rate",
        "rollout/tokens_per_s",
    } <= training.keys()
    row = next(row for row in run.read_metrics() if "train/loss" in row)
    for name in ("episode/asked_unclear", "time/generate_s", "time/env_s", "rollout/failed"):
        assert training[name] == row[name]
    assert training["alarm/zero_variance"] == 1.0


def test_evaluations_that_cannot_be_measured_stop_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        HeldOut, "_play", lambda *_: play((CLEAR, ["boom"]), pool=None, limits=DialogueLimits(context_tokens=1))
    )
    with pytest.raises(ClarifyError, match=r"1 of 1 held-out episodes could not be measured.*rl-dev\.jsonl.*--resume"):
        train(run, config({"every": 1}))


# ---- after a crash


class PowerCutError(Exception):
    pass


def cut_power(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The run dies when it has written this many batches of episodes, those of evaluations included."""
    plain, written = Run.add_episodes, []

    def add_episodes(self: Run, *args: Any, **kwargs: Any) -> None:  # Any: its own signature
        plain(self, *args, **kwargs)
        written.append(args)
        if len(written) == at:
            raise PowerCutError

    monkeypatch.setattr(Run, "add_episodes", add_episodes)


def resumable(algorithm: Literal["grpo", "ppo"], lora: dict[str, Any] | None) -> Config:
    return config({"every": 1}, algorithm=algorithm, lora=lora, max_steps=3)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Run]]:
    """Runs that nobody disturbed, each made when it is asked for."""
    runs: dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in runs:
            runs[name] = new_run(tmp_path_factory.mktemp("calm") / name)
            train(runs[name], RESUMABLE[name])
        return runs[name]

    yield get
    for run in runs.values():
        run.close()


RESUMABLE = {"grpo": resumable("grpo", None), "ppo": resumable("ppo", None), "adapter": resumable("ppo", LORA)}


# Batches are written in this order: evaluation, rollout, evaluation, ... A checkpoint follows the fifth.
@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("grpo", 5),
        ("adapter", 6),
        *(pytest.param(*place, marks=pytest.mark.slow) for place in (("grpo", 1), ("grpo", 6), ("ppo", 6))),
    ],
)
def test_a_resumed_run_goes_on_to_the_same_end(
    run: Run, calm: Callable[[str], Run], name: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil(monkeypatch, 1)
    whole = calm(name)
    with monkeypatch.context() as patched:
        cut_power(patched, at)
        with pytest.raises(PowerCutError):
            train(run, RESUMABLE[name])
    train(run, RESUMABLE[name])
    assert record(run) == record(whole)
    assert episodes(run, "rl-dev") == episodes(whole, "rl-dev")
    assert episodes(run, "rl") == episodes(whole, "rl")
    assert run.info()["models/rl"] == whole.info()["models/rl"]
    assert kept(run) == kept(whole) == ["step-1"]
    for file in ("model.safetensors", *(() if name == "grpo" else (FILE,))):
        assert (run.model_folder("rl") / file).read_bytes() == (whole.model_folder("rl") / file).read_bytes()


def test_the_best_weights_outlive_a_crash_after_better_ones(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 3 is better than step 1, but lost with it: the run goes on from the checkpoint of step 2."""
    pupil(monkeypatch, 1)
    with monkeypatch.context() as patched:
        pupil(patched, 3)
        cut_power(patched, 8)
        with pytest.raises(PowerCutError):
            train(run, config({"every": 1}))
    assert kept(run) == ["step-0", "step-3"]
    train(run, config({"every": 1}, max_steps=4))
    assert run.info()["models/rl"].startswith("the policy of step 0,")
    assert kept(run) == ["step-0"]


@pytest.mark.parametrize("patience", [None, 1])
def test_a_run_that_dies_before_it_has_written_its_model_takes_no_further_step(
    run: Run, monkeypatch: pytest.MonkeyPatch, patience: int | None
) -> None:
    pupil(monkeypatch, 0, 1)
    made = config({"every": 2, "patience": patience}, max_steps=6, save_steps=2)
    before = weights_of(train(run, made))
    seen = record(run)
    shutil.rmtree(run.model_folder("rl"))
    train(run, made)
    assert record(run) == seen
    assert weights_of(run.model_folder("rl")) == before
