"""`clarify-rl rescore`: what other rewards, or other weights, would have paid for the episodes that a run kept.

No model is called and nothing is run again: rewards are functions of the recorded episodes. The run stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clarify_rl.config import Config
from clarify_rl.pipeline.earned import mean_of, values_of
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.evaluate import finished_results
from clarify_rl.pipeline.graded import read_grades
from clarify_rl.store import Run
from clarify_rl.types import Episode, Results, Score

_JUDGED = {3: "good", 2: "fair", 1: "bad"}
_ASKS_NOTHING = "asks nothing"
_LONG = 10  # letters: such a header takes two lines
_TOTALS = ("total", "as_recorded", "if_solved", "if_not")


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


@dataclass(frozen=True)
class PaidByGrade:
    """What the episodes of a suite earned whose questions a judge graded alike, all checkpoints together.

    `judged` is good, fair or bad, or says that the first reply asks nothing. Means over `episodes`, as in `Paid`.
    """

    suite: str
    judged: str
    episodes: int
    rewards: Mapping[str, float | None]
    total: float | None


@dataclass(frozen=True)
class Rescored:
    """What the evaluated episodes of a run earn, by checkpoint, and by grade where a judge gave some."""

    paid: list[Paid]
    by_grade: list[PaidByGrade]


def rescore(config: Config, run: Run) -> Rescored:
    """The evaluated episodes of a run, scored by the rewards of `config`. RunFolderError where none was evaluated."""
    results = finished_results(config, run)
    here = config.model_copy(update={"env": config.env.model_copy(update={"workers": 0})})
    with open_pool(here) as pool:
        after = [_scored(result, pool.score(list(result.episodes))) for result in results]
    return Rescored([_paid(*pair) for pair in zip(results, after, strict=True)], _by_grade(run, after))


def _scored(result: Results, scores: Sequence[tuple[Score, ...]]) -> Results:
    episodes = zip(result.episodes, scores, strict=True)
    return replace(result, episodes=tuple(replace(episode, scores=own) for episode, own in episodes))


def _by_grade(run: Run, results: Sequence[Results]) -> list[PaidByGrade]:
    """By suite and grade; nothing for a suite of which no judge was asked."""
    groups: dict[str, dict[str, list[Episode]]] = {}
    for result in results:
        grades = read_grades(run, result.checkpoint, result.suite)
        for episode in result.episodes:
            grade = grades.get(episode.id)
            asks = bool(episode.turns and episode.turns[0].reply.questions)
            judged = _ASKS_NOTHING if not asks else _JUDGED[grade.grade] if grade else None
            if judged:
                groups.setdefault(result.suite, {}).setdefault(judged, []).append(episode)
    return [
        PaidByGrade(suite, judged, len(episodes), _means(episodes), mean_of(episode.reward for episode in episodes))
        for suite, by_grade in groups.items()
        if by_grade.keys() != {_ASKS_NOTHING}
        for judged in (*_JUDGED.values(), _ASKS_NOTHING)
        if (episodes := by_grade.get(judged))
    ]


def _means(episodes: Sequence[Episode]) -> dict[str, float | None]:
    names = dict.fromkeys(score.name for episode in episodes for score in episode.scores)
    return {name: mean_of(values_of(episodes, name)) for name in names}


def _paid(recorded: Results, scored: Results) -> Paid:
    before, after = recorded.episodes, scored.episodes
    return Paid(
        recorded.checkpoint,
        recorded.suite,
        len(after),
        sum(episode.masked for episode in after),
        _means(after),
        mean_of(episode.reward for episode in after),
        mean_of(episode.reward for episode in before if episode.scores),
        mean_of(episode.reward for episode in after if episode.solved),
        mean_of(episode.reward for episode in after if episode.solved is False),
    )


def print_rescored(rescored: Rescored, console: Console) -> None:
    """A table for each suite by checkpoint, and one by grade; what pays for failing is said."""
    paid = rescored.paid
    for suite in dict.fromkeys(item.suite for item in paid):
        own = [item for item in paid if item.suite == suite]
        names = list(dict.fromkeys(name for item in own for name in item.rewards))
        table = _table(f"{suite}: means over episodes", "checkpoint", [*names, *_TOTALS])
        for item in own:
            sums = (item.total, item.before, item.solved, item.not_solved)
            _add(table, item.checkpoint, item.episodes, [*(item.rewards.get(name) for name in names), *sums])
        console.print(table)
        _print_by_grade([item for item in rescored.by_grade if item.suite == suite], console)
    for item in paid:
        if item.agrees is False:
            whose = f"{item.suite}, {item.checkpoint}"
            console.print(f"[yellow]{whose}: episodes that fail earn more than those that pass.[/yellow]")
        if item.unmeasured:
            console.print(
                f"{item.suite}, {item.checkpoint}: {item.unmeasured} of {item.episodes} could not be measured"
            )


def _print_by_grade(by_grade: Sequence[PaidByGrade], console: Console) -> None:
    if not by_grade:
        return
    names = list(dict.fromkeys(name for item in by_grade for name in item.rewards))
    table = _table("by a judge's grade of the first questions", "questions", [*names, "total"])
    for item in by_grade:
        _add(table, item.judged, item.episodes, [*(item.rewards.get(name) for name in names), item.total])
    console.print(table)


def _table(title: str, what: str, numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(what, overflow="fold")
    for header in ("n", *numbers):
        table.add_column(header if len(header) < _LONG else header.replace("_", "\n"), justify="right")
    return table


def _add(table: Table, name: str, count: int, numbers: Sequence[float | None]) -> None:
    table.add_row(escape(name), str(count), *map(_number, numbers))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def write_rescored(rescored: Rescored, path: Path) -> None:
    """The numbers as JSON: `paid`, and `by_grade`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(rescored), indent=2) + "\n", encoding="utf-8")
