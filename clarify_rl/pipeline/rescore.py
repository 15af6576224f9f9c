"""`clarify-rl rescore`: what other rewards, or other weights, would have paid for the episodes that a run kept.

No model is called and nothing is run again: rewards are functions of the recorded episodes. The run stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from clarify_rl.config import Config
from clarify_rl.pipeline.earned import mean_of, values_of
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.evaluate import finished_results
from clarify_rl.store import Run
from clarify_rl.types import Results, Score


@dataclass(frozen=True)
class Paid:
    """What one checkpoint earned on one suite, by the mean over `episodes`: each reward, and the weighted sum.

    `before` is the sum as it was recorded; `solved` and `not_solved` are the new sum where the code passed and where it
    did not, so `agrees` says whether the rewards prefer what passes. None: no such episode was measured.
    """

    checkpoint: str
    suite: str
    episodes: int
    unmeasured: int
    rewards: Mapping[str, float | None]
    total: float | None
    before: float | None
    solved: float | None
    not_solved: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether episodes that pass earn more; None where there are none of one kind."""
        return None if self.solved is None or self.not_solved is None else self.solved > self.not_solved


def rescore(config: Config, run: Run) -> list[Paid]:
    """The evaluated episodes of a run, scored by the rewards of `config`. RunFolderError where none was evaluated."""
    results = finished_results(config, run)
    here = config.model_copy(update={"env": config.env.model_copy(update={"workers": 0})})
    with open_pool(here) as pool:
        return [_paid(result, pool.score(list(result.episodes))) for result in results]


def _paid(result: Results, scores: Sequence[tuple[Score, ...]]) -> Paid:
    before = list(result.episodes)
    after = [replace(episode, scores=own) for episode, own in zip(before, scores, strict=True)]
    names = dict.fromkeys(score.name for episode in after for score in episode.scores)
    return Paid(
        result.checkpoint,
        result.suite,
        len(after),
        sum(episode.masked for episode in after),
        {name: mean_of(values_of(after, name)) for name in names},
        mean_of(episode.reward for episode in after),
        mean_of(episode.reward for episode in before),
        mean_of(episode.reward for episode in after if episode.solved),
        mean_of(episode.reward for episode in after if episode.solved is False),
    )


def print_rescored(paid: Sequence[Paid], console: Console) -> None:
    """A table by suite and checkpoint; what pays for failing is said."""
    names = list(dict.fromkeys(name for item in paid for name in item.rewards))
    table = Table(title="means over episodes", title_justify="left")
    for header in ("suite", "checkpoint", "n", *names, "total", "as recorded", "if solved", "if not"):
        table.add_column(header, justify="left" if header in ("suite", "checkpoint") else "right")
    for item in paid:
        numbers = [*(item.rewards.get(name) for name in names), item.total, item.before, item.solved, item.not_solved]
        table.add_row(item.suite, item.checkpoint, str(item.episodes), *map(_number, numbers))
    console.print(table)
    for item in paid:
        if item.agrees is False:
            whose = f"{item.suite}, {item.checkpoint}"
            console.print(f"[yellow]{whose}: episodes that fail earn more than those that pass.[/yellow]")
        if item.unmeasured:
            console.print(
                f"{item.suite}, {item.checkpoint}: {item.unmeasured} of {item.episodes} could not be measured"
            )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def write_rescored(paid: Sequence[Paid], path: Path) -> None:
    """The numbers as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(item) for item in paid], indent=2) + "\n", encoding="utf-8")
