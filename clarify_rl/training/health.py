"""Warnings while RL trains: numbers that have gone wrong before, against what they were, and what to try next.

Each rule follows one number by its mean over a window of steps. Some compare it with the first window of the run,
because what is normal depends on the model and the data. docs/training.md says where the defaults come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState

from clarify_rl.config import Config
from clarify_rl.errors import ConfigError
from clarify_rl.rl_sections import AlarmName, HealthSection, RLSection
from clarify_rl.store import Run
from clarify_rl.training.checkpoints import is_first
from clarify_rl.training.progress import RecordProgress

Numbers = Mapping[str, Any]  # Any: a row of metrics.jsonl, which may also hold text


@dataclass(frozen=True)
class Seen:
    """What a rule saw: the mean over the last steps and over the first ones, the limit, and which steps they were."""

    now: float
    first: float
    limit: float
    last_steps: str
    first_steps: str


@dataclass(frozen=True)
class AlarmRule:
    """Warns when the mean over the last window is above (or `below`) `limit`, a function of the first window's mean.

    Where `while_rising` reads another number, only if that has risen from the first window to the last.
    """

    name: AlarmName
    read: Callable[[Numbers], float | None]
    limit: Callable[[float], float]
    say: Callable[[Seen], str]
    below: bool = False
    while_rising: Callable[[Numbers], float | None] = lambda _: None


@dataclass(frozen=True)
class Alarm:
    """One warning, in words."""

    name: AlarmName
    text: str


@dataclass
class Series:
    """The values that one rule has read. It warns once, and again only after a whole window without a reason to."""

    rule: AlarmRule
    window: int
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    wrong_at: int | None = None

    def read(self, step: int, numbers: Numbers) -> Alarm | None:
        value = self.rule.read(numbers)
        if value is None:
            return None
        self.steps.append(step)
        self.values.append(value)
        if (other := self.rule.while_rising(numbers)) is not None:
            self.others.append(other)
        count = len(self.values)
        if count < self.window:
            return None
        seen = self._seen()
        if not (seen.now < seen.limit if self.rule.below else seen.now > seen.limit) or self._has_fallen():
            return None
        known = self.wrong_at is not None and count - self.wrong_at <= self.window
        self.wrong_at = count
        return None if known else Alarm(self.rule.name, self.rule.say(seen))

    def _has_fallen(self) -> bool:
        others = self.others
        return bool(others) and _mean(others[-self.window :]) <= _mean(others[: self.window])

    def _seen(self) -> Seen:
        start, end = slice(None, self.window), slice(-self.window, None)
        first = _mean(self.values[start])
        limit = self.rule.limit(first)
        return Seen(_mean(self.values[end]), first, limit, _range(self.steps[end]), _range(self.steps[start]))


class WatchHealth(TrainerCallback):
    """Warns by the numbers that `progress` wrote: above its bar, in metrics.jsonl, and in the log for reporters.

    A resumed run reads the record first, so it warns where the run that was interrupted would have. Of several learners
    the first one watches, and all stop when it says so.
    """

    def __init__(self, progress: RecordProgress, run: Run, config: Config) -> None:
        self.progress, self.run, self.config = progress, run, config
        self.options = (config.rl or RLSection()).health
        self.series: list[Series] = []

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """`args` are TRL's (Any: it has no types)."""
        self.series = [Series(rule, self.options.window) for rule in rules(self.config, args)]
        for row in self.run.read_metrics() if is_first() else ():
            if row["stage"] == "rl":
                self._read(int(row["step"]), row)

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, float | None], **_: object
    ) -> None:  # Any: as above
        if "loss" not in logs:
            return
        alarms = self._read(state.global_step, self.progress.numbers) if is_first() else []
        for alarm in alarms:
            logs[f"alarm/{alarm.name}"] = 1.0
            self.run.add_metrics("rl", state.global_step, {f"alarm/{alarm.name}": 1, "warning": alarm.text})
            tqdm.write(f"Warning at step {state.global_step}: {alarm.text}")
        if self.options.stop_on:
            self._stop([alarm.name for alarm in alarms if alarm.name in self.options.stop_on], state, control)

    def _read(self, step: int, numbers: Numbers) -> list[Alarm]:
        readings = [series.read(step, numbers) for series in self.series]
        return [alarm for alarm in readings if alarm]

    def _stop(self, reasons: list[AlarmName], state: TrainerState, control: TrainerControl) -> None:
        shared = [reasons]
        broadcast_object_list(shared)
        if reasons:
            tqdm.write(f"Training ends at step {state.global_step}: {', '.join(reasons)} is in rl.health.stop_on.")
        control.should_training_stop |= bool(shared[0])


def check_alarms(section: RLSection, args: Any) -> None:  # Any: TRL's options, which have no types
    """ConfigError for an alarm that training shall end at, and that could not be given: its number is not measured."""
    never = {
        "kl": "rl.trainer.beta=0 measures no KL. Set it above 0" if not args.beta else "",
        "zero_variance": "PPO compares no groups. Leave it out" if section.algorithm == "ppo" else "",
    }
    for name in section.health.stop_on:
        if never.get(name):
            raise ConfigError(f"rl.health.stop_on: {name} would never come, as {never[name]}.")


def rules(config: Config, args: Any) -> list[AlarmRule]:  # Any: TRL's options, which have no types
    """What to watch, with advice that fits the run's own settings."""
    options = (config.rl or RLSection()).health
    slower = f"rl.trainer.learning_rate={args.learning_rate / 2:.2g}"
    nearer = f"rl.trainer.beta={2 * args.beta or 0.02:.2g}"
    watched = [
        _ask_collapse(options, nearer),
        _entropy_collapse(options, slower),
        _malformed(options, slower, config),
        _kl(options, slower, nearer),
        _gradient(options, slower),
        _unmeasured(config),
        _unclear(options),
        _reward_hacking(options, nearer),
        *(_flat_reward(item.name) for item in config.rewards if item.weight),
    ]
    # PPO compares no groups.
    return watched if config.rl and config.rl.algorithm == "ppo" else [*watched, _zero_variance(options, args)]


# A policy that asks more seldom than this in its first steps has no habit to lose.
_SELDOM = 0.05


def _ask_collapse(options: HealthSection, nearer: str) -> AlarmRule:
    return AlarmRule(
        "ask_collapse",
        lambda row: row.get("episode/asked_unclear"),
        lambda first: options.ask_left * first if first >= _SELDOM else -inf,
        lambda seen: (
            f"The policy gives up asking: it asked in {seen.now:.0%} of unclear problems in {seen.last_steps}, in "
            f"{seen.first:.0%} in {seen.first_steps}. Keep questions in every group with rl.groups.ask_share=0.25, or "
            f"hold the policy nearer to its start with {nearer}."
        ),
        below=True,
    )


def _entropy_collapse(options: HealthSection, slower: str) -> AlarmRule:
    return AlarmRule(
        "entropy_collapse",
        lambda row: row.get("train/entropy"),
        lambda first: options.entropy_left * first,
        lambda seen: (
            f"The policy hardly varies its replies any more: entropy was {seen.now:.2g} nats a token in "
            f"{seen.last_steps}, {seen.first:.2g} in {seen.first_steps}. "
            f"Try rl.trainer.entropy_coef=0.001, or {slower}."
        ),
        below=True,
    )


def _malformed(options: HealthSection, slower: str, config: Config) -> AlarmRule:
    longer = f"dialogue.turn_tokens={2 * config.dialogue.turn_tokens}"
    return AlarmRule(
        "malformed",
        lambda row: row.get("episode/malformed"),
        lambda first: first + options.malformed_rise,
        lambda seen: (
            f"The policy forgets how to reply: {seen.now:.0%} of dialogues had a reply that is neither a question nor "
            f"fenced code in {seen.last_steps}, {seen.first:.0%} in {seen.first_steps}. "
            f"Try {slower}, or {longer} where transcripts show replies cut off."
        ),
    )


def _kl(options: HealthSection, slower: str, nearer: str) -> AlarmRule:
    return AlarmRule(
        "kl",
        lambda row: row.get("train/kl"),
        lambda _: options.kl,
        lambda seen: (
            f"The policy runs away from its start: KL was {seen.now:.2g} nats a token in {seen.last_steps}, more than "
            f"{seen.limit:g}. Hold it with {nearer}, or try {slower}."
        ),
    )


def _gradient(options: HealthSection, slower: str) -> AlarmRule:
    return AlarmRule(
        "gradient",
        lambda row: row.get("train/grad_norm"),
        lambda first: options.gradient_rise * first,
        lambda seen: (
            f"Training may be about to diverge: the gradient's norm was {seen.now:.2g} in {seen.last_steps}, "
            f"{seen.first:.2g} in {seen.first_steps}. Try {slower}, or rl.trainer.max_grad_norm=0.2."
        ),
    )


def _unmeasured(config: Config) -> AlarmRule:
    most, longer = config.env.max_failed_share, f"env.deadline_s={2 * config.env.deadline_s:g}"
    return AlarmRule(
        "unmeasured",
        lambda row: row["rollout/failed"] / row["rollout/episodes"] if row.get("rollout/episodes") else None,
        lambda _: most / 2,
        lambda seen: (
            f"Episodes get lost: {seen.now:.1%} could not be measured in {seen.last_steps}, and a step with more than "
            f"{most:.1%} stops the run (env.max_failed_share). "
            f"`failure` in episodes/rl.jsonl says why; where workers were too slow, try {longer}."
        ),
    )


def _unclear(options: HealthSection) -> AlarmRule:
    return AlarmRule(
        "unclear",
        lambda row: row.get("user/unclear"),
        lambda _: options.unclear,
        lambda seen: (
            f"The user does not understand: {seen.now:.0%} of the questions in {seen.last_steps}, more than "
            f"{seen.limit:.0%}, so good questions bring nothing. Read some (`unclear` in episodes/rl.jsonl); a user "
            f"that is a language model hears more: env.user=llm."
        ),
    )


def _reward_hacking(options: HealthSection, nearer: str) -> AlarmRule:
    return AlarmRule(
        "reward_hacking",
        lambda row: row.get("episode/solved"),
        lambda first: first - options.solved_fall,
        lambda seen: (
            f"The reward rises while less is solved: {seen.now:.0%} in {seen.last_steps}, {seen.first:.0%} in "
            f"{seen.first_steps}. Read episodes of the highest reward; give what they are paid for less weight, or a "
            f"bound (rewards[].clip), or hold the policy nearer to its start with {nearer}."
        ),
        below=True,
        while_rising=lambda row: row.get("reward/total"),
    )


def _flat_reward(name: str) -> AlarmRule:
    return AlarmRule(
        "flat_reward",
        lambda row: row.get(f"reward_std/{name}"),
        lambda _: _FLAT,
        lambda seen: (
            f"The reward {name} was the same for every episode in {seen.last_steps}, so nothing is learnt from it. "
            f"`clarify-rl check reward {name}` shows whom it tells apart; with the weight 0 it is only logged."
        ),
        below=True,
    )


_FLAT = 1e-9


def _zero_variance(options: HealthSection, args: Any) -> AlarmRule:  # Any: as above
    larger = f"rl.trainer.num_generations={2 * args.num_generations}"
    return AlarmRule(
        "zero_variance",
        lambda row: row.get("group/zero_variance"),
        lambda _: options.zero_variance,
        lambda seen: (
            f"Little is left to learn from: in {seen.last_steps}, all episodes earned the same in {seen.now:.0%} of "
            f"the groups, more than {seen.limit:.0%}. Try {_OTHERS}, or {larger}."
        ),
    )


# Other problems in place of those that teach nothing, and sooner those that are solved now and then.
_OTHERS = "rl.groups.resample=2 rl.groups.by_solve_rate=true"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _range(steps: Sequence[int]) -> str:
    return f"steps {steps[0]} to {steps[-1]}" if len(steps) > 1 else f"step {steps[0]}"
