"""Held-out evaluation while RL trains: how good the policy is at what it is not trained on, which step was best, when
to stop.

It plays greedily, so it draws no random number, and training goes on as it would without it. Of several learners each
plays its share of the variants, and all are told of all episodes. Everything that it decides is a function of
metrics.jsonl, so a resumed run decides the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.rl_sections import RLSection
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run
from clarify_rl.training.best import keep_only, keep_weights, restore_weights
from clarify_rl.training.checkpoints import is_first
from clarify_rl.training.rollout_metrics import rollout_metrics, stop_if_failing
from clarify_rl.training.vllm import TrainedVLLMPolicy, in_lockstep
from clarify_rl.types import Episode, Policy, Pool, Start, Variant

STAGE = "rl-dev"

Row = Mapping[str, Any]  # Any: a row of metrics.jsonl: numbers, and text
Model = Any  # Any: a model of transformers, or peft's around one


class Surroundings(Protocol):
    """What held-out episodes share with those of training."""

    pool: Pool
    chat: Chat
    limits: DialogueLimits
    stream: bool


@dataclass(frozen=True)
class Standing:
    """What the evaluations so far say: the best one, the last one, and how many came after the best."""

    best_step: int
    best: float
    last_step: int
    last: float
    number: int
    since_best: int


def standing(rows: Iterable[Row], metric: str) -> Standing | None:
    """The standing by eval/`metric` in a record's rows; None without an evaluation. Of equals the first is the best."""
    evaluated = [
        (int(row["step"]), float(row[f"eval/{metric}"]))
        for row in rows
        if row["stage"] == "rl" and f"eval/{metric}" in row
    ]
    if not evaluated:
        return None
    best = max(range(len(evaluated)), key=lambda i: evaluated[i][1])
    return Standing(*evaluated[best], *evaluated[-1], number=len(evaluated), since_best=len(evaluated) - 1 - best)


def agreed_standing(run: Run, metric: str) -> Standing | None:
    """The standing by the record of a run, which the first learner reads, when it has come here, for all of them."""
    shared = [standing(run.read_metrics(), metric) if is_first() else None]
    broadcast_object_list(shared)
    return shared[0]


class HeldOut(TrainerCallback):
    """Plays `variants` as often as rl.evaluation says, keeps the best weights, and ends training without progress.

    It generates by the trainer's engine, and logs by the trainer, so that reporters get these numbers too.
    """

    def __init__(
        self, variants: Sequence[Variant], rollouts: Surroundings, config: Config, run: Run, trainer: Any
    ) -> None:  # Any: TRL's trainer
        self.variants, self.rollouts, self.config, self.run, self.trainer = variants, rollouts, config, run, trainer
        self.options = (config.rl or RLSection()).evaluation
        self.folder = best_folder(run)
        self._needed: set[int] = set()
        self._evaluated: int | None = None  # the step of the last evaluation

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Model = None, **more: Any
    ) -> None:  # Any: transformers' own
        new = state.global_step == 0
        if is_first():
            self.run.drop_episodes(STAGE, from_step=0 if new else state.global_step + 1)
            if new:  # a crash before the first checkpoint leaves an evaluation of step 0 behind
                self.run.drop_metrics("rl")
            self._clear()
        if new:
            self._evaluate(state, control, model, more["processing_class"].pad_token_id)

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Model = None, **more: Any
    ) -> None:  # Any: as above
        if state.global_step % self.options.every == 0 or state.global_step == state.max_steps:
            self._evaluate(state, control, model, more["processing_class"].pad_token_id)

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Model = None, **more: Any
    ) -> None:  # Any: as above
        # An alarm has ended training with this step. The checkpoint of the step is still to come, so a run that goes on
        # from there has this evaluation.
        if control.should_training_stop and state.global_step != self._evaluated:
            self._evaluate(state, control, model, more["processing_class"].pad_token_id)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # Any: as above
        if is_first():
            self._clear()

    def _clear(self) -> None:
        """Keeps the weights that a run needs which goes on from the newest checkpoint, and no others."""
        now = standing(self.run.read_metrics(), self.options.metric)
        self._needed = {now.best_step} if now else set()
        keep_only(self.folder, self._needed)

    def _evaluate(self, state: TrainerState, control: TrainerControl, model: Model, pad_id: int) -> None:
        self._evaluated = state.global_step  # before it is logged, which comes back here
        started = time.monotonic()
        episodes = self._play(state.global_step, model, pad_id)
        if is_first():
            self.run.add_episodes(STAGE, episodes, step=state.global_step)
        stop_if_failing(episodes, self.config.env.max_failed_share, STAGE, "held-out episodes")
        self._log({**held_out_numbers(episodes), "eval_seconds": time.monotonic() - started}, control, model)
        now = agreed_standing(self.run, self.options.metric)
        if now and now.best_step == state.global_step and is_first():
            keep_weights(model, self.folder, state.global_step)
            keep_only(self.folder, {*self._needed, state.global_step})
        if now and self.options.patience and now.since_best >= self.options.patience:
            self._end(now, state, control)

    def _end(self, now: Standing, state: TrainerState, control: TrainerControl) -> None:
        if is_first() and not control.should_training_stop:
            tqdm.write(
                f"Training ends at step {state.global_step}: {now.since_best} held-out evaluations brought no progress "
                f"since step {now.best_step} (rl.evaluation.patience)."
            )
        control.should_training_stop = True

    def _play(self, step: int, model: Model, pad_id: int) -> list[Episode]:
        """Plays this learner's share of the variants; the episodes of all learners, in the order of the variants."""
        place, shared = PartialState(), self.rollouts
        mine = self.variants[place.process_index :: place.num_processes]
        episodes = run_episodes(
            [
                Start(
                    variant,
                    f"{STAGE}/{step}/{variant.id}",
                    derive_seed(self.config.seed, STAGE, variant.id),
                    price=shared.chat.prices.drawn(STAGE, variant.id),
                )
                for variant in mine
            ],
            policy=self._policy(model, pad_id),
            pool=shared.pool,
            chat=shared.chat,
            limits=shared.limits,
            stream=shared.stream,
        )
        order = {variant.id: i for i, variant in enumerate(self.variants)}
        return sorted(gather_object(episodes), key=lambda episode: order[episode.variant.id])

    def _policy(self, model: Model, pad_id: int) -> Policy:
        """Greedy. Where processes share an engine each call needs all of them, and here each has its own number."""
        ends = self.rollouts.chat.end_ids
        if self.trainer.use_vllm and not in_lockstep(self.trainer):
            return TrainedVLLMPolicy(self.trainer, ends, temperature=0.0)
        return HFPolicy(model, ends, pad_id, 0.0, self.config.eval.batch_size)

    def _log(self, numbers: Mapping[str, float], control: TrainerControl, model: Model) -> None:
        """A log of its own, that leaves to the log of this step what belongs there."""
        training, due = model.training, control.should_log
        model.eval()  # so TRL adds none of the numbers that it gathers for the log of training
        self.trainer.log(dict(numbers))
        model.train(training)
        control.should_log = due  # any log takes the wish for one as fulfilled


def held_out_numbers(episodes: Sequence[Episode]) -> dict[str, float]:
    """The numbers of one evaluation, under names that reporters show as eval/NAME."""
    metrics = rollout_metrics(episodes)
    rewards = [episode.reward for episode in episodes if episode.reward is not None]
    names = ("solved", "asked_unclear", "asked_clear", "malformed")
    return {
        "eval_episodes": metrics["rollout/episodes"],
        "eval_failed": metrics["rollout/failed"],
        **({"eval_reward": sum(rewards) / len(rewards)} if rewards else {}),
        **{f"eval_{name}": metrics[f"episode/{name}"] for name in names if f"episode/{name}" in metrics},
    }


def best_folder(run: Run) -> Path:
    return run.folder / "checkpoints" / "rl-best"


def restore_best(model: Model, config: Config, run: Run) -> None:
    """Puts the best evaluated weights into the `model` of each learner, and notes in run.json which they are."""
    options = (config.rl or RLSection()).evaluation
    now = agreed_standing(run, options.metric)
    if now is None:
        return
    restore_weights(model, best_folder(run), now.best_step)
    last = f", {now.last:.3f} at step {now.last_step}, the last" if now.since_best else ", which is the last"
    run.note(
        "models/rl",
        f"the policy of step {now.best_step}, the best of {now.number} held-out evaluations: {options.metric} "
        f"{now.best:.3f}{last}",
    )
