"""What a person sees of a run under way: the record, the bar, and where the time goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from clarify_rl.envs.ask_or_code import AskOrCode
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import get_available_reporting_integrations

from clarify_rl.config_files import load_config
from clarify_rl.dialogue.episodes import run_episodes
from clarify_rl.errors import ConfigError
from clarify_rl.pool import LocalPool
from clarify_rl.store import Run
from clarify_rl.timeline import Timeline
from clarify_rl.training.grpo import grpo_config
from clarify_rl.training.progress import RecordProgress, check_reporters, put_first, reporting
from clarify_rl.types import Exchange, Policy, Request, Response, Sample, Start
from tests.dialogues import ASK, DESC, LIMITS, SPEC, UNCLEAR, chat, scripted

SHOWN = {"reward": "reward/total", "held-out": "eval/solved", "env s": "time/env_s"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as made:
        yield made


@pytest.fixture
def progress(run: Run, tmp_path: Path) -> Iterator[RecordProgress]:
    made = RecordProgress(run, "rl", SHOWN, lambda: {"episode/solved": 0.5, "time/env_s": 0.25})
    arguments, control = TrainingArguments(output_dir=str(tmp_path), use_cpu=True), TrainerControl()
    made.on_train_begin(arguments, TrainerState(max_steps=9), control)
    yield made
    made.on_train_end(arguments, TrainerState(max_steps=9), control)


def log(progress: RecordProgress, step: int, logs: dict[str, float | None]) -> None:
    arguments = TrainingArguments(output_dir=str(progress.run.folder), use_cpu=True)
    progress.on_log(arguments, TrainerState(global_step=step), TrainerControl(), logs=logs)


def test_our_numbers_stand_in_the_record_and_in_the_log_that_reporters_get(run: Run, progress: RecordProgress) -> None:
    logs: dict[str, float | None] = {"loss": 0.1, "reward": 0.7, "completions/clipped_ratio": 0.0}
    log(progress, 1, logs)
    ours = {"episode/solved": 0.5, "time/env_s": 0.25}
    assert run.read_metrics() == [{"stage": "rl", "step": 1, "train/loss": 0.1, "reward/total": 0.7, **ours}]
    assert progress.numbers == {"train/loss": 0.1, "reward/total": 0.7, **ours}
    assert logs == {"loss": 0.1, "reward": 0.7, "completions/clipped_ratio": 0.0, **ours}


def test_an_evaluation_has_a_row_of_its_own_without_numbers_of_training(run: Run, progress: RecordProgress) -> None:
    log(progress, 3, {"eval_solved": 0.4, "eval_seconds": 2.0, "epoch": 1.0})
    assert run.read_metrics() == [{"stage": "rl", "step": 3, "eval/solved": 0.4, "time/evaluation_s": 2.0}]


def test_a_number_that_could_not_be_measured_is_left_out(run: Run, progress: RecordProgress) -> None:
    log(progress, 1, {"loss": 0.1, "reward": None})
    assert "reward/total" not in run.read_metrics()[0]


def test_the_bar_keeps_showing_what_was_said_last(progress: RecordProgress) -> None:
    log(progress, 1, {"eval_solved": 0.4})
    log(progress, 2, {"loss": 0.1, "reward": 0.7})
    assert progress.bar.postfix == "held-out=0.4, reward=0.7, env s=0.25"


def test_callbacks_that_are_put_first_keep_their_order() -> None:
    first, second, reporter = TrainerCallback(), TrainerCallback(), TrainerCallback()
    trainer = SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[reporter]))
    put_first(trainer, first, second)
    assert trainer.callback_handler.callbacks == [first, second, reporter]


@dataclass
class Wandb:
    """The part of W&B's module that counts here: one run for a process, until somebody ends it."""

    run: object = None
    ended: int = 0

    def init(self, name: str) -> None:
        self.run = name

    def finish(self) -> None:
        self.run, self.ended = None, self.ended + 1


def test_each_stage_has_a_run_of_its_own_at_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    for ended in (1, 2):
        with reporting(["tensorboard", "wandb"]):
            wandb.init(f"the run that transformers began in stage {ended}")
        assert (wandb.run, wandb.ended) == (None, ended)
    with reporting(["tensorboard"]):
        wandb.init("somebody else's")
    assert wandb.run


def test_a_run_at_wandb_that_the_user_began_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = Wandb("the user's")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with reporting(["wandb"]):
        pass
    assert wandb.run == "the user's"


def test_a_reporter_that_is_not_there_is_named_before_work_starts() -> None:
    check_reporters("rl.trainer", get_available_reporting_integrations())
    with pytest.raises(ConfigError, match=r"rl\.trainer\.report_to: No reporter.*Did you mean 'tensorboard'\?"):
        load_and_check("tensorbord")
    missing = sorted({"tensorboard", "wandb", "neptune", "clearml"} - {*get_available_reporting_integrations()})
    if missing:
        with pytest.raises(ConfigError, match=rf"report_to={missing[0]}: it is not installed\. pip install"):
            load_and_check(missing[0])


def load_and_check(reporter: str) -> None:
    config = load_config("demo", [f"rl.trainer.report_to={reporter}"])
    assert config.rl is not None
    grpo_config(config, config.rl, Path())


# ---- where the time goes


@dataclass(frozen=True)
class Pondering(Policy):
    """Takes 50 ms for each call."""

    policy: Policy

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        time.sleep(0.05)
        return self.policy.generate(requests)


class Hesitant(AskOrCode):
    """A user who takes 200 ms for an answer."""

    def respond(self, exchange: Exchange) -> Response:
        if not exchange.last_turn and exchange.reply.questions:
            time.sleep(0.2)
        return super().respond(exchange)


def test_generation_and_environment_are_timed_apart() -> None:
    timeline = Timeline()
    with closing(LocalPool(replace(SPEC, env=f"{__file__}:Hesitant"))) as pool:
        policy = Pondering(scripted({"e": [ASK, DESC]}))
        started = time.monotonic()
        (episode,) = run_episodes(
            [Start(UNCLEAR, "e", 0)], policy=policy, pool=pool, chat=chat(), limits=LIMITS, timeline=timeline
        )
        elapsed_s = time.monotonic() - started
    numbers = timeline.take()
    assert episode.solved
    assert numbers["time/generate_s"] >= 0.1 and numbers["time/env_s"] >= 0.2
    parts = numbers["time/generate_s"] + numbers["time/env_s"] + numbers["time/score_s"]
    assert numbers["time/step_s"] == pytest.approx(parts)
    assert parts <= elapsed_s  # so that no second is in both


def test_what_is_inside_is_taken_from_what_is_around_it_and_nothing_is_taken_twice() -> None:
    timeline = Timeline()
    with timeline.during("update"):
        with timeline.during("sync"):
            time.sleep(0.1)
        timeline.timed("logprobs", time.sleep)(0.1)
    taken = timeline.take()
    assert taken["time/sync_s"] >= 0.1 and taken["time/logprobs_s"] >= 0.1
    assert taken["time/step_s"] - taken["time/sync_s"] - taken["time/logprobs_s"] == pytest.approx(
        taken["time/update_s"]
    )
    assert timeline.take() == {}
