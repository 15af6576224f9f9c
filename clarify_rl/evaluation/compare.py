"""Several checkpoints on several suites -> Comparison: a summary of each, and the paired difference of every two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

from clarify_rl.errors import DataError
from clarify_rl.eval_sections import SILENT, TOLD
from clarify_rl.evaluation.chance import holm
from clarify_rl.evaluation.metrics import Group, Metric, Summary, summarise
from clarify_rl.evaluation.paired import PairedDifference, paired_difference
from clarify_rl.types import Results

SCHEMA_VERSION = 2

# Asking on all variants together mixes a virtue with a vice, so it is compared apart only.
COMPARED: tuple[tuple[Metric, Group], ...] = (
    ("solved", "all"),
    ("solved", "clear"),
    ("solved", "unclear"),
    ("pass_rate", "all"),
    ("pass_rate", "clear"),
    ("pass_rate", "unclear"),
    ("asked", "unclear"),
    ("asked", "clear"),
)


@dataclass(frozen=True)
class Comparison:
    """Checkpoints and suites in the order given; each later checkpoint is compared with each earlier one.

    `asking`, of each checkpoint on unclear variants: what it solves more than beside a user who tells nothing
    (NAME@silent was played), and what it would solve more if it were told everything (NAME@told).
    """

    checkpoints: tuple[str, ...]
    suites: tuple[str, ...]
    summaries: tuple[Summary, ...]
    differences: tuple[PairedDifference, ...]
    asking: tuple[PairedDifference, ...] = ()

    @property
    def last_two(self) -> tuple[str, str] | None:
        """The one before the last checkpoint, and the last: what the newest stage of training changed."""
        return (self.checkpoints[-2], self.checkpoints[-1]) if len(self.checkpoints) > 1 else None

    def summary(self, checkpoint: str, suite: str) -> Summary | None:
        return next((s for s in self.summaries if (s.checkpoint, s.suite) == (checkpoint, suite)), None)

    def difference(
        self, before: str, after: str, suite: str, metric: Metric, group: Group = "all"
    ) -> PairedDifference | None:
        compared = (before, after, suite, metric, group)
        return next((d for d in self.differences if (d.before, d.after, d.suite, d.metric, d.group) == compared), None)


def compare(
    results: Sequence[Results], *, seed: int = 0, resamples: int = 10_000, confidence: float = 0.95
) -> Comparison:
    """Summaries and paired differences of every checkpoint on every suite, earlier checkpoints first."""
    _check(results)
    suites = tuple(dict.fromkeys(result.suite for result in results))
    differences = [
        paired_difference(a, b, seed=seed, resamples=resamples, confidence=confidence, metric=metric, group=group)
        for suite in suites
        for a, b in combinations([result for result in results if result.suite == suite], 2)
        for metric, group in COMPARED
    ]
    return Comparison(
        checkpoints=tuple(dict.fromkeys(result.checkpoint for result in results)),
        suites=suites,
        summaries=tuple(map(summarise, results)),
        differences=_corrected(differences),
        asking=tuple(_asking(results, seed=seed, resamples=resamples, confidence=confidence)),
    )


def _asking(results: Sequence[Results], *, seed: int, resamples: int, confidence: float) -> Iterator[PairedDifference]:
    played = {(result.checkpoint, result.suite): result for result in results}
    how = {"seed": seed, "resamples": resamples, "confidence": confidence}
    for (checkpoint, suite), result in played.items():
        if silent := played.get((checkpoint, f"{suite}@{SILENT}")):
            without = replace(silent, checkpoint=f"{checkpoint} without answers", suite=suite)
            yield paired_difference(without, result, group="unclear", **how)  # type: ignore[arg-type] # named above
        if told := played.get((checkpoint, f"{suite}@{TOLD}")):
            knowing = replace(told, checkpoint=f"{checkpoint} told everything", suite=suite)
            yield paired_difference(result, knowing, group="unclear", same_prompts=False, **how)  # type: ignore[arg-type] # as above


def _corrected(differences: Sequence[PairedDifference]) -> tuple[PairedDifference, ...]:
    """With `holm`: of one question, asked about several pairs of checkpoints, chance will answer some with yes."""
    corrected = list(differences)
    for question in {(each.suite, each.metric, each.group) for each in differences}:
        places = [i for i, d in enumerate(differences) if (d.suite, d.metric, d.group) == question]
        for place, p in zip(places, holm([differences[place].p for place in places]), strict=True):
            corrected[place] = replace(differences[place], holm=p)
    return tuple(corrected)


def to_json(comparison: Comparison) -> str:
    """The text of comparison.json; the same episodes and seed give the same bytes."""
    tree = {"schema_version": SCHEMA_VERSION, **asdict(comparison)}
    return json.dumps(_rounded(tree), indent=2, allow_nan=False) + "\n"


def _rounded(tree: object) -> object:
    match tree:
        case float():
            return round(tree, 6) + 0.0  # + 0.0 turns -0.0 into 0.0
        case Mapping():
            return {key: _rounded(value) for key, value in tree.items()}
        case list() | tuple():
            return [_rounded(value) for value in tree]
        case _:
            return tree


def _check(results: Sequence[Results]) -> None:
    if not results:
        raise DataError("Nothing to compare: no results were given. Evaluate at least one checkpoint first.")
    seen: set[tuple[str, str]] = set()
    for result in results:
        key = (result.checkpoint, result.suite)
        if key in seen:
            raise DataError(
                f"Checkpoint {result.checkpoint!r} has two results on suite {result.suite!r}. "
                "Give each checkpoint its own name, or leave one of the two out."
            )
        seen.add(key)
