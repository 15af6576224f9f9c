"""GRPO (Shao et al. 2024, arXiv 2402.03300) on TRL: its trainer, our rollouts.

The dialogue loop runs on the trainer's own model, and `_rollout` hands TRL token ids, mask and episodes; TRL's reward
functions only read the scores that the episodes came with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from clarify_rl.config import Config, RewardConfig
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.engines import engine_for_rl
from clarify_rl.errors import ConfigError
from clarify_rl.policies.hf import HFPolicy
from clarify_rl.rl_sections import GateSection, InformationSection, RLSection
from clarify_rl.sections import Options
from clarify_rl.seeds import derive_seed
from clarify_rl.store import PastEpisode, Run
from clarify_rl.timeline import Timeline
from clarify_rl.training.batches import by_length, trim
from clarify_rl.training.checkpoints import check_saving
from clarify_rl.training.credit import Credit, check_credit, token_advantages
from clarify_rl.training.finite import FiniteSteps
from clarify_rl.training.gate import pass_gate
from clarify_rl.training.groups import GenerationBatch, Groups, Moment, check_groups, in_groups
from clarify_rl.training.health import check_alarms
from clarify_rl.training.information import Information, Unscored
from clarify_rl.training.openings import compare_alike
from clarify_rl.training.options import trainer_config
from clarify_rl.training.prefixes import Prefixes
from clarify_rl.training.rollout_metrics import group_metrics, rollout_metrics, stop_if_failing
from clarify_rl.training.schedules import at_step
from clarify_rl.training.vllm import TrainedVLLMPolicy, by_engine, check_vllm, in_lockstep
from clarify_rl.types import Episode, Opening, Policy, Pool, ReplyKind, Score, Start, Turn, Variant


@dataclass
class Rollouts:
    """Makes one generation batch of episodes, keeps all on disk, and remembers their numbers for the log.

    Every learner plays a batch of its own; what is kept, counted and judged is the episodes of all of them.
    """

    groups: Groups
    pool: Pool
    chat: Chat
    limits: DialogueLimits
    run: Run
    seed: int
    max_failed_share: float
    rewards: Sequence[RewardConfig] = ()
    gate: GateSection = field(default_factory=GateSection)
    information: Information | None = None
    stream: bool = True
    prefixes: Prefixes | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    _last: Moment | None = None
    _played: int = 0  # episodes at that moment, by this learner: a step may take several batches

    def __call__(self, trainer: DialogueGRPOTrainer, rows: Sequence[int]) -> GenerationBatch:
        """One episode for each row, an index of a variant; equal rows stand beside each other and form a group.

        The groups may be about other variants than the rows that came; the batch says which.
        """
        step, ranks = trainer.state.global_step, trainer.accelerator.num_processes
        moment = Moment(self.seed, step, trainer.accelerator.process_index, ranks)
        first = step == 0 and self._last is None
        if moment != self._last:
            self._last, self._played = moment, 0
        timeline = trainer.timeline
        before, started = timeline.seconds.get("generate", 0.0), time.monotonic()
        played: list[Episode] = []

        def play(asked: Sequence[int]) -> list[Episode]:
            played.extend(self._play(trainer, asked, moment, first=self._played))
            self._played += len(asked)
            return played[-len(asked) :]

        batch = self.groups.fill(rows, play, moment)
        with timeline.during("wait"):
            shared = gather_object([(batch, played)])  # of all learners, in their order
        everyones = [episode for _, episodes in shared for episode in episodes]
        self.run.add_episodes("rl", everyones, step=step)
        self.groups.rates.add(PastEpisode(step, episode.variant.id, episode.solved) for episode in everyones)
        self.numbers = {
            **rollout_metrics(everyones),
            **group_metrics([episode for episode, _ in shared], self.groups.size),
            **self.pool.numbers(),  # of this learner's pool
            **_speed(everyones, timeline.seconds.get("generate", 0.0) - before),
            "time/rollout_s": time.monotonic() - started,
        }
        stop_if_failing(everyones, self.max_failed_share, "rl")
        if first:
            pass_gate(everyones, self.gate, self.run)
        return batch

    def _play(
        self,
        trainer: DialogueGRPOTrainer,
        rows: Sequence[int],
        moment: Moment,
        first: int,
    ) -> list[Episode]:
        """Whole groups of episodes. `first` is the number of the first one in this step."""
        if self.prefixes:
            self.prefixes.learn([self.groups.variants[row] for row in rows])
        starts = [self._start(row, number, moment) for number, row in enumerate(rows, first)]
        play = partial(
            run_episodes,
            policy=self._policy(trainer),
            chat=self.chat,
            limits=self.limits,
            lockstep=in_lockstep(trainer),
            stream=self.stream,
            timeline=trainer.timeline,
        )
        played = at_step(play(starts, pool=self.pool), self.rewards, moment.step)
        if self.information is None:
            return played
        model = trainer.accelerator.unwrap_model(trainer.model)
        return self.information.score(played, partial(play, pool=Unscored(self.pool)), model)

    def _start(self, row: int, number: int, moment: Moment) -> Start:
        variant = self.groups.variants[row]
        seed = derive_seed(self.seed, "rl", moment.step, moment.rank, variant.id, number)
        # One price a group, and the same turns behind it: its episodes are compared with each other.
        group, place = divmod(number, self.groups.size)
        price = self.chat.prices.drawn(self.seed, moment.step, moment.rank, variant.id, group)
        turns: tuple[Turn, ...] = ()
        opening = self.groups.openings.opening(variant, place, seed)
        if self.prefixes and self.groups.openings.is_replayed(variant, place):
            turns = self.prefixes.of(variant, derive_seed(moment.step, moment.rank, group))
            opening = Opening(ReplyKind.QUESTION, replayed=len(turns)) if turns else None
        return Start(variant, f"rl/{moment.step}/{moment.rank}/{number}", seed, turns, opening, price)

    def _policy(self, trainer: DialogueGRPOTrainer) -> Policy:
        if trainer.use_vllm:
            return TrainedVLLMPolicy(trainer, self.chat.end_ids)
        return HFPolicy(
            model=trainer.accelerator.unwrap_model(trainer.model),
            end_ids=self.chat.end_ids,
            pad_id=trainer.processing_class.pad_token_id,
            temperature=trainer.args.temperature,
        )


def _speed(episodes: Sequence[Episode], generating_s: float) -> dict[str, float]:
    """The policy's tokens for each second of generating them."""
    tokens = sum(sum(episode.policy_mask) for episode in episodes)
    return {"rollout/tokens_per_s": tokens / generating_s} if generating_s else {}


class EpochSampler(Sampler[int]):
    """TRL's order of prompts, made anew for each epoch from its number: a resumed run reads on in the same order.

    TRL's own draws each epoch's order from a generator that no checkpoint holds, so a run that is resumed in a later
    epoch would see the first epoch's order again. `epoch` is asked at the start of each: `set_epoch`, by which others
    tell a sampler, does not arrive where several learners go on in the middle of one.
    """

    def __init__(self, order: Any, seed: int, epoch: Callable[[], int]) -> None:  # Any: TRL's sampler has no types
        self.order = order
        self.seed = seed
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.order.shuffle:
            self.order.generator.manual_seed(derive_seed(self.seed, "epoch", self.epoch()))
        yield from self.order

    def __len__(self) -> int:
        return len(self.order)


class DialogueGRPOTrainer(FiniteSteps, GRPOTrainer):
    """TRL's GRPOTrainer with our rollouts.

    Overrides three methods: to decide which variants a batch is about and whom each episode is compared with, to train
    on micro-batches of like length where that changes no loss, and to read prompts in an order that a resumed run can
    take up again.
    """

    def __init__(
        self, *args: Any, rollouts: Rollouts, credit: Credit | None = None, **kwargs: Any
    ) -> None:  # Any: TRL's own signature
        self._rollouts, self._credit = rollouts, credit
        self._batch = GenerationBatch((), ())
        self._buffered_inputs: Any = None  # Any: TRL's own, micro-batches still to be trained on
        self.timeline = Timeline()
        super().__init__(*args, rollout_func=_rollout, **kwargs)
        if self.use_vllm:
            self.vllm_generation.sync_weights = self.timeline.timed("sync", self.vllm_generation.sync_weights)

    def own_callbacks(self) -> tuple[TrainerCallback, ...]:
        """What has to be in a checkpoint before it counts as complete."""
        return ()

    def save_own(self, folder: Path) -> None:
        """Writes what belongs to the algorithm and not to the policy beside a model."""

    def load_own(self, folder: Path) -> None:
        """Reads it back from a checkpoint."""

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler[int]:
        return EpochSampler(super()._get_train_sampler(dataset), self.args.seed, lambda: int(self.state.epoch or 0))

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:  # Any: TRL's own types
        self._batch = self._rollouts(self, [row["variant_index"] for row in inputs])
        for row, index in zip(inputs, self._batch.rows, strict=True):
            if row["variant_index"] != index:
                row.update(self.train_dataset[index])
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)  # Any: TRL's own types
        alike = self._advantages(scored)
        return {**scored, "advantages": alike, "episode_number": torch.arange(len(alike), device=alike.device)}

    def _advantages(self, scored: Mapping[str, Any]) -> torch.Tensor:  # Any: TRL's own types
        """One for each episode (B,), or for each token (B, T) where turns are credited."""
        episodes, size = self._batch.episodes, self.num_generations
        if self._credit is None:
            return compare_alike(scored["advantages"], episodes, size)
        width = scored["completion_ids"].shape[1]
        return token_advantages(self._credit, in_groups(episodes, size), width).to(scored["advantages"])

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:  # Any: TRL's own signature
        with self.timeline.during("update"):
            loss: torch.Tensor = super().training_step(*args, **kwargs)
            return loss

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:  # Any: TRL's own signature
        with self.timeline.during("update" if torch.is_grad_enabled() else "logprobs"):
            return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def rows(self) -> list[str]:
        """Ids of the micro-batch's episodes, which TRL has shuffled."""
        return [self._batch.episodes[number].id for number in self._micro_batch["episode_number"].tolist()]

    def _prepare_inputs(self, generation_batch: Any) -> Any:  # Any: TRL's own types
        with self.timeline.during("rest"):
            inputs = super()._prepare_inputs(generation_batch)
        per_update = self.args.steps_per_generation
        if not self.model.training:
            return inputs
        if self.num_iterations > 1 or per_update != self.args.gradient_accumulation_steps or self._grouping_matters:
            return trim(inputs, self.pad_to_multiple_of)
        if self._step % per_update == 0:
            self._buffered_inputs = by_length(self._buffered_inputs, self.pad_to_multiple_of)
        return self._buffered_inputs[self._step % per_update]

    @property
    def _grouping_matters(self) -> bool:
        """Whether the loss has a mean over a micro-batch's tokens, so that rows dealt anew would weigh otherwise."""
        args = self.args
        entropy = args.entropy_coef != 0 or args.use_adaptive_entropy or args.top_entropy_quantile < 1
        return bool(entropy or args.loss_type == "bnpo" or self.aux_loss_enabled)


def _rollout(prompts: list[Any], trainer: DialogueGRPOTrainer) -> dict[str, list[Any] | None]:  # Any: TRL's own types
    """TRL's `rollout_func`: row i of the result belongs to prompt i, and TRL accepts a short batch without a word."""
    episodes = trainer._batch.episodes
    assert len(episodes) == len(prompts)
    end_id = trainer.processing_class.eos_token_id
    return {
        "prompt_ids": [list(episode.prompt_ids) for episode in episodes],
        # TRL takes no empty completion: a masked end token stands for an episode that failed before its first reply.
        "completion_ids": [list(episode.completion_ids) or [end_id] for episode in episodes],
        "env_mask": [_loss_mask(episode) for episode in episodes],
        "logprobs": [_sampled_logprobs(episode) for episode in episodes] if trainer.use_vllm else None,
        "episode": list(episodes),
    }


def _sampled_logprobs(episode: Episode) -> list[float]:
    """As vLLM told them, 0 on the user's tokens, with which TRL corrects for what its engine computes otherwise."""
    assert episode.logprobs is not None
    return list(episode.logprobs) or [0.0]


def _loss_mask(episode: Episode) -> list[int]:
    """1 on the policy's tokens; nowhere in a masked episode, so that not even the KL term learns from it."""
    return [int(not episode.masked and bit) for bit in episode.policy_mask] or [0]


def reward_function(name: str, index: int, weight: float = 1.0) -> Callable[..., list[float | None]]:
    """TRL's view of one reward of this weight: reads each episode's score, or None for a masked one.

    TRL multiplies by `weight`. Where an episode's score has another one, by a schedule or because the reward does not
    apply, the value is what makes the product the score's own.

    What becomes of a group with masked episodes. Where every reward is None, TRL takes the group's mean and deviation
    over the others, and gives the masked one no advantage. So the rest is compared among itself, and what is maximised
    is the mean reward of those episodes that can be measured, E[R m] / P(m) with m for "measured": asking for failures
    is neither paid nor punished. Two other ways have the same aim, and cost more. Dropping the whole group throws away
    episodes that are fine: where one in ten fails, more than half of all groups of eight. Playing it again may fail
    again, for what fails by chance was tried again before it got here (three times by the executor, on another worker
    by the pool). What must not happen is a masked episode that counts as 0 among its neighbours. Of a group with one
    episode left nothing is learned, as of any group without variance.
    """

    def read_score(episode: Sequence[Episode], **_: object) -> list[float | None]:
        scores = [None if item.masked else item.scores[index] for item in episode]
        return [None if score is None or score.value is None else score.value * _share(score) for score in scores]

    def _share(score: Score) -> float:
        return score.weight / weight if weight else 1.0

    read_score.__name__ = name
    return read_score


def grpo_config(config: Config, section: RLSection, out: Path) -> GRPOConfig:
    ours = {
        "max_completion_length": config.dialogue.total_tokens,
        "reward_weights": [*(item.weight for item in config.rewards), *_weight_of(section.information)],
        "logging_steps": 1,
    }
    theirs = by_engine(engine_for_rl(config), section.trainer)
    trainer_options = trainer_config(GRPOConfig, "rl.trainer", {**ours, **theirs}, out, config.seed)
    _check_elsewhere(section.trainer)
    _check_sampling(trainer_options)
    check_vllm(trainer_options)
    check_groups(section, trainer_options)
    check_credit(section, trainer_options)
    check_alarms(section, trainer_options)
    _check_normalised(config, trainer_options)
    check_saving("rl.trainer", trainer_options, trainer_options.steps_per_generation * trainer_options.num_iterations)
    return trainer_options


def _weight_of(information: InformationSection | None) -> tuple[float, ...]:
    return (information.weight,) if information else ()


_AS_IT_IS: Mapping[str, tuple[object, ...]] = {
    "top_p": (1.0,),
    "top_k": (0, -1),
    "min_p": (None, 0.0),
    "repetition_penalty": (1.0,),
    "use_transformers_continuous_batching": (False,),
    "cache_implementation": (None,),
}


def _check_sampling(args: GRPOConfig) -> None:
    """ConfigError for options of TRL's generation that rollouts of ours would pass over in silence."""
    for name, plain in _AS_IT_IS.items():
        if getattr(args, name) not in plain:
            raise ConfigError(
                f"rl.trainer.{name}: the policy is sampled as it is, at rl.trainer.temperature. Leave it out."
            )
    if args.temperature <= 0:
        raise ConfigError(
            f"rl.trainer.temperature={args.temperature:g}: all episodes of a group would be the same. Take more than 0."
        )
    if args.generation_kwargs and not args.use_vllm:
        raise ConfigError("rl.trainer.generation_kwargs: they are vLLM's (rl.trainer.use_vllm). Leave them out.")


def _check_normalised(config: Config, args: GRPOConfig) -> None:
    """ConfigError for schedules under a normalisation that takes out whatever a reward is multiplied by."""
    if args.multi_objective_aggregation == "normalize_then_sum" and any(item.schedule for item in config.rewards):
        raise ConfigError(
            "rewards: a schedule changes nothing where rl.trainer.multi_objective_aggregation=normalize_then_sum "
            "brings each reward to the same deviation. Leave one of them out."
        )


_ELSEWHERE: Mapping[str, str] = {
    "eval_strategy": "TRL has no held-out data here; rl.evaluation.every=5 plays held-out variants every 5 steps",
    "remove_unused_columns": "a prompt's variant is told by a column that TRL does not use",
    "reward_weights": "each of `rewards` has its weight beside it, which held-out evaluation and rl.groups go by too",
    "max_completion_length": "dialogue.total_tokens bounds what follows the prompt, dialogue.turn_tokens each reply",
    "model_init_kwargs": "the model is loaded by us: model.dtype, model.attn_implementation, model.quantization",
    "chat_template_kwargs": "dialogues are rendered without them; change the template itself, chat_template.jinja",
}


def _check_elsewhere(options: Options) -> None:
    """ConfigError for options of TRL's that would do nothing, or half of what they say, as ours stand for them."""
    for name, instead in _ELSEWHERE.items():
        if options.get(name, "no") not in ("no", False, None):
            raise ConfigError(f"rl.trainer.{name}: {instead}. Leave it out.")


def prompt_dataset(variants: Sequence[Variant], chat: Chat) -> Dataset:
    prompts = [[{"role": "user", "content": chat.first_message(variant)}] for variant in variants]
    return Dataset.from_dict({"prompt": prompts, "variant_index": list(range(len(variants)))})
