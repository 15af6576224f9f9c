"""What a person sees while a trainer runs: one bar, and every logged number in the run folder.

transformers hands its logs to one callback after the other, in order, and reporters such as wandb or tensorboard come
first of all. `put_first` moves ours before them, so that what ours add to the logs is reported too.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from clarify_rl.errors import ConfigError, unknown_name
from clarify_rl.store import Run

# TRL's and transformers' names -> the paths under which a run keeps them.
_NAMES = {
    "loss": "train/loss",
    "eval_loss": "eval/loss",
    "grad_norm": "train/grad_norm",
    "learning_rate": "train/learning_rate",
    "kl": "train/kl",
    "entropy": "train/entropy",
    "mean_token_accuracy": "train/token_accuracy",
    "clip_ratio/region_mean": "train/clip_ratio",
    "value_loss": "train/value_loss",
    "value_clip_ratio": "train/value_clip_ratio",
    "frac_reward_zero_std": "group/zero_variance",
    "reward": "reward/total",
    "reward_std": "reward/std",
    "step_time": "time/step_s",
    "sampling/sampling_logp_difference/mean": "vllm/logprob_difference_mean",
    "sampling/sampling_logp_difference/max": "vllm/logprob_difference_max",
    "sampling/importance_sampling_ratio/mean": "vllm/importance_ratio_mean",
    "completions/mean_length": "episode/policy_tokens",
    # Reporters show a name that begins with eval_ under eval/, and every other one under train/.
    "eval_reward": "eval/reward",
    "eval_solved": "eval/solved",
    "eval_asked_unclear": "eval/asked_unclear",
    "eval_asked_clear": "eval/asked_clear",
    "eval_malformed": "eval/malformed",
    "eval_episodes": "eval/episodes",
    "eval_failed": "eval/failed",
    "eval_seconds": "time/evaluation_s",
}


class RecordProgress(TrainerCallback):
    """Writes each log to metrics.jsonl under our names, and moves a progress bar.

    `extra` gives more numbers for each step of training; they are added to the log, for the callbacks that come later.
    `numbers` are those that were written last.
    """

    def __init__(
        self, run: Run, stage: str, shown: Mapping[str, str], extra: Callable[[], Mapping[str, float]]
    ) -> None:
        self.run, self.stage, self.shown, self.extra = run, stage, shown, extra
        self.numbers: dict[str, float] = {}
        self._postfix: dict[str, str] = {}
        self.bar: Any = None  # Any: tqdm has no types

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.stage, unit="step", dynamic_ncols=True
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float | None],  # None: TRL could not measure it
        **kwargs: object,
    ) -> None:
        shown = {_NAMES[name]: value for name, value in logs.items() if name in _NAMES and value is not None}
        if not shown:
            return
        if "loss" in logs:
            extra = self.extra()
            logs |= extra
            shown |= extra
        self.numbers = shown
        self.run.add_metrics(self.stage, state.global_step, shown)
        self._postfix |= {label: f"{shown[name]:.3g}" for label, name in self.shown.items() if name in shown}
        self.bar.set_postfix(self._postfix)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.bar.close()


def put_first(trainer: Any, *callbacks: TrainerCallback) -> None:  # Any: a trainer of transformers
    """Adds callbacks, in this order, before all others of a trainer."""
    trainer.callback_handler.callbacks[:0] = callbacks


@contextmanager
def reporting(names: Sequence[str]) -> Iterator[None]:
    """Around a stage: ends the run that it began at W&B, where the next stage would draw its steps over this one's."""
    wandb = importlib.import_module("wandb") if "wandb" in names else None
    begins = wandb is not None and wandb.run is None  # a user's own run is left to the user
    yield
    if wandb is not None and begins and wandb.run is not None:
        wandb.finish()


def check_reporters(where: str, names: Sequence[str]) -> None:
    """ConfigError for a reporter that transformers does not know, or that is not installed."""
    installed = {*get_available_reporting_integrations(), *_NEVER_LISTED}
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise ConfigError(f"{where}.report_to: {unknown_name('reporter', name, INTEGRATION_TO_CALLBACK)}")
        if name not in installed:
            raise ConfigError(f"{where}.report_to={name}: it is not installed. pip install {name}, or leave it out.")


_NEVER_LISTED = ("azure_ml", "flyte")  # transformers does not tell of them, or not always, whether they are there


def no_extra() -> dict[str, float]:
    return {}
