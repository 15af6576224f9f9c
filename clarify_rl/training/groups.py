"""Groups that can teach: which problems a batch is about, and which of its groups are exchanged for others.

GRPO compares the rollouts of a group with each other, so a group whose rewards are all equal teaches nothing. Two ways
to have fewer of them: dynamic sampling (DAPO, Yu et al. 2025, arXiv 2503.14476), which exchanges such groups for groups
of other problems before the update, and a choice of problems by their solve rates. Both exchange like for like, a clear
problem for a clear one, two missing facts for two: the mixture decides how often asking is right. What is left out of
DAPO: it goes on until the batch is full; here a stated number of rounds is the end, and what is left stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig

from clarify_rl.errors import ConfigError
from clarify_rl.rl_sections import GroupsSection, RLSection
from clarify_rl.sections import Options
from clarify_rl.seeds import derive_seed
from clarify_rl.store import PastEpisode
from clarify_rl.training.openings import Openings
from clarify_rl.training.solve_rates import SolveRates
from clarify_rl.training.vllm import shares_engine
from clarify_rl.types import Episode, Variant

Play = Callable[[Sequence[int]], list[Episode]]
_EQUAL = 1e-6  # rewards are sums of floats


@dataclass(frozen=True)
class GenerationBatch:
    """What one generation batch trains on: an index into the variants for each row, and its episode.

    `replaced` counts groups that took the place of one without variance.
    """

    rows: tuple[int, ...]
    episodes: tuple[Episode, ...]
    replaced: int = 0


@dataclass(frozen=True)
class Moment:
    """When and where a batch is made. Every random choice about it follows from this and from the rows that came."""

    seed: int
    step: int
    rank: int = 0
    ranks: int = 1


@dataclass
class Groups:
    """Fills the generation batches of one process with groups of `size` episodes."""

    options: GroupsSection
    variants: Sequence[Variant]
    size: int
    openings: Openings = field(default_factory=Openings)
    rates: SolveRates = field(default_factory=SolveRates)

    def fill(self, rows: Sequence[int], play: Play, moment: Moment) -> GenerationBatch:
        """The batch in place of `rows`, of which equal ones stand beside each other and form a group.

        `play` is called with rows for whole groups, again and again until nothing is left to exchange.
        """
        if len(rows) % self.size:  # a group is spread over processes; none of the options allows that
            return GenerationBatch(tuple(rows), tuple(play(rows)))
        slots = list(rows[:: self.size])
        others = _Others(self, moment, slots)
        if self.options.by_solve_rate:
            slots = [others.like(row, default=row) for row in slots]
        groups = self._played(slots, play)
        replaced = 0
        for _ in range(self.options.resample):
            dull = [place for place, group in enumerate(groups) if not is_informative(group)]
            replacements = {place: row for place in dull if (row := others.like(slots[place], default=-1)) >= 0}
            if not replacements:
                break
            for (place, row), group in zip(
                replacements.items(), self._played(list(replacements.values()), play), strict=True
            ):
                if is_informative(group):
                    slots[place], groups[place] = row, group
                    replaced += 1
        return GenerationBatch(self._repeated(slots), tuple(episode for group in groups for episode in group), replaced)

    def _played(self, slots: Sequence[int], play: Play) -> list[list[Episode]]:
        return in_groups(play(self._repeated(slots)), self.size)

    def _repeated(self, slots: Sequence[int]) -> tuple[int, ...]:
        return tuple(row for row in slots for _ in range(self.size))


class _Others:
    """Rows to play in place of given ones, of the same number of missing facts, each at most once a batch.

    Each learner has its own share of the variants, so that no two take the same one. Problems of higher weight come
    sooner: in a race in which each arrives at its rate, which is drawing by weight without replacement (Efraimidis and
    Spirakis 2006).
    """

    def __init__(self, groups: Groups, moment: Moment, slots: Sequence[int]) -> None:
        self._groups, self._moment, self._slots = groups, moment, slots
        self._left: dict[int, Iterator[int]] = {}

    def like(self, row: int, *, default: int) -> int:
        """Another row like this one, or `default` when there is none left."""
        missing = len(self._groups.variants[row].facts)
        if missing not in self._left:
            self._left[missing] = iter(self._in_order(missing))
        return next(self._left[missing], default)

    def _in_order(self, missing: int) -> list[int]:
        groups, moment = self._groups, self._moment
        alike = [row for row, variant in enumerate(groups.variants) if len(variant.facts) == missing]
        by_rate = groups.options.by_solve_rate
        # A batch that is chosen by solve rate may hold what came by itself; one that came by itself not once more.
        mine = [row for row in alike[moment.rank :: moment.ranks] if by_rate or row not in self._slots]
        random = Random(derive_seed(moment.seed, "groups", moment.step, moment.rank, missing, *self._slots))
        arrives = {row: random.expovariate(groups.rates.weight(groups.variants[row]) if by_rate else 1) for row in mine}
        return sorted(mine, key=arrives.__getitem__)


def in_groups(episodes: Sequence[Episode], size: int) -> list[list[Episode]]:
    return [list(episodes[first : first + size]) for first in range(0, len(episodes), size)]


def is_informative(group: Sequence[Episode]) -> bool:
    """Whether the measured episodes of a group differ in reward, so that one can be preferred to another."""
    rewards = [episode.reward for episode in group if episode.reward is not None]
    return bool(rewards) and max(rewards) - min(rewards) > _EQUAL


def make_groups(
    options: GroupsSection,
    trainer: GRPOConfig,
    variants: Sequence[Variant],
    tokenizer: PreTrainedTokenizerBase,
    record: Iterable[PastEpisode],
) -> Groups:
    """The groups that a configuration asks for. `record`: what came of all episodes so far, read only where needed."""
    groups = Groups(options, variants, trainer.num_generations)
    asking, coding, replaying = _forced(options, trainer)
    if asking or coding or replaying:
        encode = partial(tokenizer.encode, add_special_tokens=False)
        groups.openings = Openings.encoded(encode, asking=asking, coding=coding, replaying=replaying)
    if options.by_solve_rate:
        groups.rates.add(record)
    return groups


_SHARES = ("ask_share", "code_share", "replay_share")


def _forced(options: GroupsSection, trainer: GRPOConfig) -> tuple[int, ...]:
    """How many rollouts of an unclear group are made to begin as a question, as code, and behind turns."""
    return tuple(round(getattr(options, name) * trainer.num_generations) for name in _SHARES)


def check_groups(section: RLSection, trainer: GRPOConfig) -> None:
    """ConfigError for options of groups that cannot work together with those of the trainer."""
    options, size = section.groups, trainer.num_generations
    if options == GroupsSection():
        return
    batch = trainer.per_device_train_batch_size * trainer.steps_per_generation
    if batch % size:
        raise ConfigError(
            f"rl.groups needs whole groups on each process, which makes {batch} episodes at a time: let rl.trainer's "
            f"per_device_train_batch_size times steps_per_generation be a multiple of num_generations={size}."
        )
    if section.algorithm == "ppo" and options.resample:
        raise ConfigError(
            "rl.groups.resample exchanges groups whose rewards are all equal; PPO compares no groups, and its critic "
            "learns from them too. Leave it out."
        )
    if options.resample and trainer.use_vllm and shares_engine(trainer) and trainer.world_size > 1:
        raise ConfigError(
            "rl.groups.resample: each learner plays as many rounds as it needs, but a vLLM that they share needs all "
            "of them at each call. Give each its own (rl.trainer.vllm_mode=colocate), or leave resample out."
        )
    forced = _forced(options, trainer)
    fewest = 1 if section.algorithm == "ppo" else 2
    for name, count in zip(_SHARES, forced, strict=True):
        share = getattr(options, name)
        if share and count < fewest:
            raise ConfigError(
                f"rl.groups.{name}={share:g} of {size} rollouts is {count}, but they are compared with each other. "
                f"Take {fewest / size:g} or more, or raise rl.trainer.num_generations."
            )
    if sum(forced) >= size:
        raise ConfigError(
            f"rl.groups.ask_share, code_share and replay_share leave none of {size} rollouts to choose for itself, and "
            "only those learn whether to ask. Take less, for example 0.25 each."
        )


def check_shared(options: Options, learners: int) -> None:
    """ConfigError for a batch of episodes that several learners cannot share: TRL would say so once they have begun."""
    whole, own = options.get("generation_batch_size"), options.get("per_device_train_batch_size", 8)
    if whole is not None and whole % (own * learners):
        raise ConfigError(
            f"rl.trainer.generation_batch_size={whole} cannot be dealt out to learners.count={learners} with "
            f"per_device_train_batch_size={own}. Take a multiple of {own * learners}, or leave it out."
        )


def check_enough(variants: int, trainer: GRPOConfig, learners: int = 1) -> None:
    """ConfigError where there are fewer variants than a batch has groups: TRL would end before the first step.

    `learners`: how many times the options are for, where these processes are not started yet.
    """
    needed = learners * trainer.generation_batch_size // trainer.num_generations
    if variants < needed:
        raise ConfigError(
            f"data.rl.count={variants}: a batch of episodes has {needed} groups, each on a problem of its own, so no "
            f"step could be taken. Take {needed} variants or more, or a smaller batch: rl.trainer's "
            "per_device_train_batch_size times steps_per_generation."
        )
