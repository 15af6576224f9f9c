"""Warnings while RL trains: each comes with its own trouble, once, and none with a run that does well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState

from clarify_rl.config import Config
from clarify_rl.config_files import load_config
from clarify_rl.errors import ConfigError
from clarify_rl.rl_sections import AlarmName
from clarify_rl.store import Run
from clarify_rl.training.grpo import grpo_config
from clarify_rl.training.health import Alarm, Series, WatchHealth, rules
from clarify_rl.training.progress import RecordProgress, no_extra

Rows = list[dict[str, float]]


def row(**changed: float) -> dict[str, float]:
    """A step of a policy that does well."""
    plain = {
        "episode/asked_unclear": 0.7,
        "episode/malformed": 0.01,
        "train/entropy": 0.3,
        "train/kl": 0.02,
        "train/grad_norm": 0.2,
        "group/zero_variance": 0.5,
        "user/unclear": 0.05,
        "episode/solved": 0.6,
        "reward/total": 0.7,
        "reward_std/pass_rate": 0.4,
        "rollout/failed": 0.0,
        "rollout/episodes": 128.0,
    }
    return plain | {name.replace("__", "/"): value for name, value in changed.items()}


def series(length: int = 25, **numbers: Sequence[float]) -> Rows:
    """Steps in which some numbers take these values one after the other, and then keep the last."""
    return [row(**{name: each[min(i, len(each) - 1)] for name, each in numbers.items()}) for i in range(length)]


def alarms(rows: Sequence[Mapping[str, float]], *overrides: str) -> list[tuple[int, Alarm]]:
    """What is warned of, and at which step; the first step is 1."""
    config = load_config("demo", overrides)
    assert config.rl is not None
    watched = [Series(rule, config.rl.health.window) for rule in rules(config, grpo_config(config, config.rl, Path()))]
    found = [(step, each.read(step, numbers)) for step, numbers in enumerate(rows, 1) for each in watched]
    return [(step, alarm) for step, alarm in found if alarm]


def names(rows: Sequence[Mapping[str, float]], *overrides: str) -> list[tuple[int, str]]:
    return [(step, alarm.name) for step, alarm in alarms(rows, *overrides)]


TROUBLE: dict[AlarmName, tuple[Rows, int]] = {
    "ask_collapse": (series(episode__asked_unclear=[0.7] * 8 + [0.5, 0.3, 0.2, 0.1, 0.05]), 13),
    "entropy_collapse": (series(train__entropy=[0.3] * 8 + [0.1, 0.03, 0.01, 0.005]), 14),
    "malformed": (series(episode__malformed=[0.01] * 12 + [0.2, 0.3, 0.5]), 15),
    "zero_variance": (series(group__zero_variance=[0.5] * 10 + [0.9] * 10), 14),
    "kl": (series(train__kl=[0.01] * 6 + [0.2, 0.5, 2.0]), 9),
    "gradient": (series(train__grad_norm=[0.2] * 6 + [0.9, 4.0, 20.0]), 9),
    "unclear": (series(user__unclear=[0.05] * 7 + [0.1, 0.4]), 9),
    "reward_hacking": (
        series(episode__solved=[0.6] * 6 + [0.5, 0.3, 0.1], reward__total=[0.7] * 6 + [0.8, 0.9, 1.0]),
        9,
    ),
    "flat_reward": (series(reward_std__pass_rate=[0.1] * 6 + [0.0]), 11),
    "unmeasured": (series(rollout__failed=[0.0] * 5 + [10.0]), 9),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_each_trouble_is_warned_of_once_and_alone(name: AlarmName) -> None:
    rows, step = TROUBLE[name]
    assert names(rows) == [(step, name)]


def test_a_policy_that_learns_is_not_warned_of() -> None:
    """Numbers as they go up and down where RL works: asking, entropy and variance fall a little, one step is odd."""
    asked = [0.66, 0.71, 0.62, 0.75, 0.69, 0.78, 0.74, 0.81, 0.71, 0.84, 0.52, 0.8, 0.86, 0.79, 0.88]
    rows = series(
        episode__asked_unclear=asked,
        episode__malformed=[0.02, 0.0, 0.01, 0.03, 0.01, 0.16, 0.02, 0.0, 0.0],
        train__entropy=[0.31, 0.29, 0.3, 0.26, 0.27, 0.2, 0.18, 0.19, 0.14, 0.12, 0.1, 0.11, 0.08, 0.07],
        group__zero_variance=[0.38, 0.5, 0.44, 0.56, 0.5, 0.81, 0.63, 0.56, 0.69, 0.63, 0.75, 0.69],
        train__kl=[0.0, 0.001, 0.004, 0.01, 0.02, 0.03, 0.05, 0.04, 0.07],
        train__grad_norm=[0.17, 0.15, 0.22, 0.15, 0.18, 0.25, 0.9, 0.12],
        rollout__failed=[0.0, 0.0, 2.0, 0.0, 0.0, 12.0, 0.0],
    )
    assert names(rows) == []


@pytest.mark.parametrize("name", TROUBLE)
def test_a_warning_comes_again_only_after_the_trouble_was_over(name: AlarmName) -> None:
    rows = TROUBLE[name][0]
    healthy, ill = series(10), [rows[-1]] * 10
    assert [found for _, found in names([*rows, *ill, *ill])] == [name]
    assert [found for _, found in names([*rows, *healthy, *ill])] == [name, name]


def test_a_number_that_swings_about_its_limit_is_warned_of_once() -> None:
    rows = series(40, group__zero_variance=[0.9, 0.6] * 20)
    assert [name for _, name in names(rows)] == ["zero_variance"]


def test_less_solved_for_less_reward_is_no_hacking() -> None:
    assert names(series(episode__solved=[0.6] * 6 + [0.1], reward__total=[0.7] * 6 + [0.2])) == []


def test_a_reward_without_weight_may_be_flat() -> None:
    rows = [{**row(), "reward_std/well_formed": 0.0} for _ in range(20)]
    mix = "rewards=[{use: pass_rate}, {use: well_formed, weight: %s}]"
    assert names(rows, mix % 0) == []
    assert [name for _, name in names(rows, mix % 0.1)] == ["flat_reward"]


def test_who_never_asked_cannot_give_it_up() -> None:
    assert names(series(episode__asked_unclear=[0.04] * 5 + [0.0])) == []


def test_a_number_that_is_not_there_is_no_zero() -> None:
    known = {"episode/malformed": 0.0}
    assert names([known] * 30) == []
    assert names([*series(5), *[known] * 30]) == []


def test_limits_and_window_are_options() -> None:
    half = series(episode__asked_unclear=[0.8] * 5 + [0.5])
    assert names(half) == []
    assert names(half, "rl.health.ask_left=0.7") == [(10, "ask_collapse")]
    assert names(half, "rl.health.ask_left=0.7", "rl.health.window=2") == [(7, "ask_collapse")]


def test_ppo_compares_no_groups() -> None:
    assert names(TROUBLE["zero_variance"][0], "rl.algorithm=ppo") == []


@pytest.mark.parametrize("name", TROUBLE)
def test_what_a_warning_says_to_try_exists(name: AlarmName) -> None:
    ((_, alarm),) = alarms(TROUBLE[name][0])
    advice = [found.rstrip(".,") for found in re.findall(r"[a-z_.]+=[\w.+-]+", alarm.text)]
    assert advice or "`clarify-rl check reward " in alarm.text
    config = load_config("demo", advice)
    assert not advice or config != load_config("demo")
    assert config.rl is not None
    grpo_config(config, config.rl, Path())
    assert alarm.text.count(". ") <= 2


def test_a_warning_names_both_numbers_and_their_steps() -> None:
    ((_, alarm),) = alarms(TROUBLE["ask_collapse"][0])
    assert "in 23% of unclear problems in steps 9 to 13, in 70% in steps 1 to 5" in alarm.text
    assert "rl.groups.ask_share=0.25, or hold the policy nearer to its start with rl.trainer.beta=0.02." in alarm.text


# ---- in a run


def watched(run: Run, *overrides: str) -> tuple[RecordProgress, WatchHealth, Config]:
    config = load_config("demo", overrides)
    progress = RecordProgress(run, "rl", {}, no_extra)
    return progress, WatchHealth(progress, run, config), config


def play(run: Run, rows: Rows, first: int, *overrides: str) -> tuple[list[dict[str, float | None]], TrainerControl]:
    """Hands the rows to the callbacks as a trainer would from step `first` on, and returns what reporters would see."""
    progress, health, config = watched(run, *overrides)
    assert config.rl is not None
    args, control, logs = grpo_config(config, config.rl, Path()), TrainerControl(), []
    progress.on_train_begin(args, TrainerState(max_steps=100, global_step=first - 1), control)
    health.on_train_begin(args, TrainerState(global_step=first - 1), control)
    for step, numbers in enumerate(rows, first):
        log: dict[str, float | None] = {
            "loss": 0.1,
            "kl": numbers["train/kl"],
            "frac_reward_zero_std": numbers["group/zero_variance"],
        }
        progress.extra = lambda numbers=numbers: numbers  # type: ignore[misc] # bound in each turn of the loop
        for callback in (progress, health):
            callback.on_log(args, TrainerState(global_step=step), control, logs=log)
        logs.append(log)
    progress.on_train_end(args, TrainerState(), control)
    return logs, control


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", "seed: 0\n", ["pytest"])


def test_a_warning_is_printed_recorded_and_reported(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows, step = TROUBLE["kl"]
    logs, control = play(run, rows, 1)
    (found,) = [each for each in run.read_metrics() if "alarm/kl" in each]
    assert (found["stage"], found["step"], found["alarm/kl"]) == ("rl", step, 1)
    assert f"Warning at step {step}: {found['warning']}" in capsys.readouterr().out
    assert [i for i, log in enumerate(logs, 1) if "alarm/kl" in log] == [step]
    assert not control.should_training_stop


def test_an_alarm_ends_training_where_it_is_asked_to(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows, step = TROUBLE["ask_collapse"]
    _, control = play(run, rows[: step - 1], 1, "rl.health.stop_on=[ask_collapse]")
    assert not control.should_training_stop
    _, control = play(run, rows[step - 1 : step], step, "rl.health.stop_on=[ask_collapse]")
    assert control.should_training_stop
    assert f"Training ends at step {step}: ask_collapse is in rl.health.stop_on" in capsys.readouterr().out


@pytest.mark.parametrize("at", [3, 8, 9, 12])
def test_a_resumed_run_warns_where_it_would_have(run: Run, tmp_path: Path, at: int) -> None:
    rows, _ = TROUBLE["kl"]
    play(run, rows, 1)
    with Run.create(tmp_path / "resumed", "seed: 0\n", ["pytest"]) as other:
        play(other, rows[:at], 1)
        play(other, rows[at:], at + 1)
        assert other.read_metrics() == run.read_metrics()


def test_an_alarm_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"rl\.health\.stop_on.*'ask_collapse'"):
        load_config("demo", ["rl.health.stop_on=[ask_colapse]"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rl.health.stop_on=[kl]", "rl.trainer.beta=0"], "rl.trainer.beta=0 measures no KL. Set it above 0"),
        (["rl.health.stop_on=[zero_variance]", "rl.algorithm=ppo"], "PPO compares no groups. Leave it out"),
    ],
)
def test_an_alarm_that_could_never_end_training_is_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    config = load_config("demo", overrides)
    assert config.rl is not None
    with pytest.raises(ConfigError, match=re.escape(message)):
        grpo_config(config, config.rl, tmp_path)


def test_an_alarm_whose_number_is_measured_may_end_training(tmp_path: Path) -> None:
    config = load_config("demo", ["rl.health.stop_on=[kl,zero_variance]", "rl.trainer.beta=0.02"])
    assert config.rl is not None
    assert grpo_config(config, config.rl, tmp_path).beta == 0.02
