"""What a person sees while a trainer runs: one bar, and every logged number in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

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
    "completions/mean_length": "episode/policy_tokens",
}


class RecordProgress(TrainerCallback):
    """Writes each log to metrics.jsonl under our names, and moves a progress bar. `extra` gives more numbers a step."""

    def __init__(
        self, run: Run, stage: str, shown: Mapping[str, str], extra: Callable[[], Mapping[str, float]]
    ) -> None:
        self.run, self.stage, self.shown, self.extra = run, stage, shown, extra
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
        logs: Mapping[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        numbers = {_NAMES[name]: float(value) for name, value in (logs or {}).items() if name in _NAMES}
        if not numbers:
            return
        numbers |= self.extra()
        self.run.add_metrics(self.stage, state.global_step, numbers)
        self.bar.set_postfix({label: f"{numbers[name]:.3g}" for label, name in self.shown.items() if name in numbers})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self.bar.close()


def no_extra() -> dict[str, float]:
    return {}
