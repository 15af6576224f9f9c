"""`clarify-rl check reward`: whether rewards prefer an engineer who asks what is missing to policies that only seem to.

Scripted policies play the same variants. The oracle asks for each hidden fact and writes the reference; every canary
games something. The mix that a run trains on must pay the oracle more than any of them; single rewards may fail that,
and the table says which. What it leaves out: policies that learn, which find more than these.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from rich.console import Console
from rich.table import Table

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import TextChat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.errors import DataError
from clarify_rl.eval_sections import SuiteConfig
from clarify_rl.pipeline.canaries import AMPLE, CANARIES, ORACLE, QUESTIONS, Scene, Script, scenes_of
from clarify_rl.pipeline.data import suite_variants
from clarify_rl.pipeline.earned import mean_of, values_of
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.policies.scripted import TextScripts
from clarify_rl.problems.made import Made
from clarify_rl.registry import load_reward
from clarify_rl.seeds import derive_seed
from clarify_rl.types import Episode, Pool, Start, Variant


@dataclass(frozen=True)
class Played:
    """What one canary earned: the mean sum on all, clear and unclear variants, and of each reward; None: unmeasured."""

    name: str
    total: float | None
    clear: float | None
    unclear: float | None
    rewards: Mapping[str, float | None]


@dataclass(frozen=True)
class RewardReport:
    """The canaries on `variants` variants, and of each reward: lowest and highest value, trouble, microseconds."""

    variants: int
    played: tuple[Played, ...]
    ranges: Mapping[str, tuple[float, float]]
    troubles: tuple[str, ...]
    microseconds: Mapping[str, float]

    @property
    def above_the_oracle(self) -> tuple[str, ...]:
        """Canaries that earn at least what the oracle earns."""
        oracle = next(item.total for item in self.played if item.name == ORACLE)
        others = [item for item in self.played if item.name != ORACLE]
        if oracle is None:
            return tuple(item.name for item in others)
        return tuple(item.name for item in others if item.total is not None and item.total >= oracle)


def chosen_variants(config: Config, suite: str, made: str | None, count: int) -> list[Variant]:
    """The variants of a suite (`bank`, or a HumanEvalComm.jsonl), or some of a made file, from all over it."""
    if made:
        step = max(1, sum(1 for _ in Made(made).variants()) // count)
        return list(islice(Made(made).variants(), 0, step * count, step))
    return suite_variants(config, "canaries", SuiteConfig(source=suite, count=count), quiet=True)


def check_reward(config: Config, variants: Sequence[Variant]) -> RewardReport:
    """Plays every canary on the variants and scores it by the configured rewards. DataError without an unclear one."""
    if not any(variant.facts for variant in variants):
        raise DataError("No variant hides anything, so asking cannot pay. Give unclear ones.")
    scenes = scenes_of(variants)
    here = config.model_copy(update={"env": config.env.model_copy(update={"workers": 0})})
    with open_pool(here) as pool:
        episodes = {name: _play(name, script, scenes, pool) for name, script in CANARIES.items()}
    whole = [episode for played in episodes.values() for episode in played]
    names = list(dict.fromkeys(score.name for episode in whole for score in episode.scores))
    values = {name: [value for value in values_of(whole, name) if value is not None] for name in names}
    return RewardReport(
        len(variants),
        tuple(_played(name, played, names) for name, played in episodes.items()),
        {name: (min(found), max(found)) for name, found in values.items() if found},
        tuple(trouble for item in config.rewards for trouble in _troubles(item.use, item.options, whole)),
        {item.name: _speed(item.use, item.options, whole) for item in config.rewards},
    )


def _play(name: str, script: Script, scenes: Sequence[Scene], pool: Pool) -> list[Episode]:
    starts = [
        Start(scene.variant, f"{name}/{place}", derive_seed(0, "canary", scene.variant.id))
        for place, scene in enumerate(scenes)
    ]
    scripts = {start.id: script(scene) for start, scene in zip(starts, scenes, strict=True)}
    limits = DialogueLimits(QUESTIONS, AMPLE, AMPLE, AMPLE)
    return run_episodes(starts, policy=TextScripts(scripts), pool=pool, chat=TextChat(), limits=limits)


def _played(name: str, episodes: Sequence[Episode], rewards: Sequence[str]) -> Played:
    return Played(
        name,
        mean_of([episode.reward for episode in episodes]),
        mean_of([episode.reward for episode in episodes if episode.variant.is_clear]),
        mean_of([episode.reward for episode in episodes if not episode.variant.is_clear]),
        {reward: mean_of(values_of(episodes, reward)) for reward in rewards},
    )


def _troubles(use: str, options: Mapping[str, object], episodes: Sequence[Episode]) -> list[str]:
    """What breaks a run later: a reward that cannot go to another process, or that does not agree with itself."""
    rule, found = load_reward(use, options), []
    try:
        pickle.loads(pickle.dumps(rule))
    except Exception as error:  # reason: pickle raises whatever a plugin's own methods raise
        found.append(f"{use} does not pickle ({type(error).__name__}: {error}), so no Ray worker can have it")
    if any(rule(episode) != rule(episode) for episode in episodes[:: max(1, len(episodes) // 50)]):
        found.append(f"{use} gives two values for one episode")
    return found


def _speed(use: str, options: Mapping[str, object], episodes: Sequence[Episode]) -> float:
    rule, started = load_reward(use, options), time.perf_counter()
    for episode in episodes:
        rule(episode)
    return 1e6 * (time.perf_counter() - started) / len(episodes)


def print_rewards(report: RewardReport, console: Console) -> None:
    """The canaries by what they earn, then each reward's range and speed, and what is wrong."""
    names = list(report.ranges)
    table = Table(title=f"means over {report.variants} variants", title_justify="left")
    for header in ("canary", "sum", "clear", "unclear", *names):
        table.add_column(header, justify="left" if header == "canary" else "right")
    for item in sorted(report.played, key=lambda item: -(item.total if item.total is not None else -1e9)):
        numbers = (item.total, item.clear, item.unclear, *(item.rewards.get(name) for name in names))
        table.add_row(item.name, *("-" if number is None else f"{number:.3f}" for number in numbers))
    console.print(table)
    for name, (lowest, highest) in report.ranges.items():
        console.print(
            f"{name}: {lowest:g} to {highest:g}, {report.microseconds.get(name, 0):.0f} microseconds an episode"
        )
    for trouble in report.troubles:
        console.print(f"[red]{trouble}.[/red]")
    for name in report.above_the_oracle:
        console.print(f"[red]{name!r} earns at least as much as the oracle.[/red]")
