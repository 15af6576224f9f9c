"""Results -> the JSON that the HTML page reads: every variant once, every episode with what its transcript shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from math import isfinite
from typing import TypeAlias, TypeGuard

from clarify_rl.evaluation.calibration import confidence
from clarify_rl.evaluation.compare import Comparison
from clarify_rl.evaluation.grades import Grades
from clarify_rl.evaluation.metrics import numbered
from clarify_rl.report.sentences import difference_sentence
from clarify_rl.types import Episode, Execution, Results, Score, Turn, Variant

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


_ALARM = "alarm/"


def payload(
    comparison: Comparison,
    results: Sequence[Results],
    curves: Sequence[Mapping[str, float | int | str]],
    run_info: Mapping[str, str],
    grades: Grades,
) -> Json:
    """Everything the page shows, except its headline."""
    variants = {
        (result.suite, episode.variant.id): episode.variant for result in results for episode in result.episodes
    }
    index = {key: i for i, key in enumerate(variants)}
    return {
        "comparison": finite(asdict(comparison)),
        "sentences": [difference_sentence(difference) for difference in comparison.differences],
        "worth": [difference_sentence(difference) for difference in comparison.asking],
        "variants": [_variant(variant) for variant in variants.values()],
        "results": [_results(result, index, grades) for result in results],
        "curves": curve_columns(curves),
        "alarms": alarms(curves),
        "run": dict(run_info),
    }


def curve_columns(rows: Sequence[Mapping[str, float | int | str]]) -> Json:
    """Metric rows as one series for each stage and metric; a step written again after a resume replaces the first."""
    series: dict[tuple[str, str], dict[float, float]] = {}
    for row in rows:
        step = row.get("step")
        for name, value in row.items():
            if name != "step" and not name.startswith(_ALARM) and _is_number(step) and _is_number(value):
                series.setdefault((str(row.get("stage", "")), name), {})[float(step)] = float(value)
    return [
        {"stage": stage, "name": name, "points": [[step, finite(points[step])] for step in sorted(points)]}
        for (stage, name), points in series.items()
    ]


def alarms(rows: Sequence[Mapping[str, float | int | str]]) -> Json:
    """Warnings of a record in the order in which they came: stage, step, name and what was said."""
    return [
        {"stage": row.get("stage", ""), "step": row["step"], "name": name.removeprefix(_ALARM), "text": row["warning"]}
        for row in rows
        if "warning" in row
        for name in row
        if name.startswith(_ALARM)
    ]


def finite(tree: object) -> Json:
    """The tree as JSON: tuples become lists, and a number that JSON cannot hold becomes null."""
    match tree:
        case float():
            return tree if isfinite(tree) else None
        case None | bool() | int() | str():
            return tree
        case Mapping():
            return {str(key): finite(value) for key, value in tree.items()}
        case list() | tuple():
            return [finite(value) for value in tree]
        case _:
            return str(tree)


def runs(mask: Iterable[int]) -> list[list[int]]:
    """The mask as [value, length] pairs: a few numbers for each turn instead of one for each token."""
    return [[value, len(list(same))] for value, same in groupby(mask)]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _variant(variant: Variant) -> Json:
    problem = variant.problem
    facts = [
        {"id": fact.id, "defect": fact.defect, "statement": fact.statement, "replaced_by": fact.replaced_by}
        for fact in variant.facts
    ]
    return {
        "id": variant.id,
        "kind": variant.kind,
        "prompt": variant.prompt,
        "complete": problem.prompt,
        "solution": problem.solution,
        "entry_point": problem.entry_point,
        "facts": facts,
        "tests": [vars(test) for test in problem.tests.shown(problem.entry_point)],
        "compare": problem.tests.compare,
    }


def _results(results: Results, index: Mapping[tuple[str, str], int], grades: Grades) -> Json:
    episodes = []
    for sample, episode in numbered(results.episodes):
        shown = _episode(episode, index[results.suite, episode.variant.id], sample)
        grade = grades.get((results.checkpoint, results.suite, episode.id))
        episodes.append({**shown, "judge": finite(asdict(grade)) if grade else None})
    return {"checkpoint": results.checkpoint, "suite": results.suite, "episodes": episodes}


def _episode(episode: Episode, variant: int, sample: int) -> dict[str, Json]:
    return {
        "id": episode.id,
        "variant": variant,
        "sample": sample,
        "confidence": finite(confidence(episode)),
        "seed": episode.seed,
        "stop": episode.stop,
        "failure": episode.failure,
        "solved": episode.solved,
        "asked": episode.asked,
        "revealed": episode.revealed,
        "reward": finite(episode.reward),
        "turns": [_turn(turn) for turn in episode.turns],
        "execution": _execution(episode.execution),
        "scores": [_score(score) for score in episode.scores],
        "prompt_tokens": len(episode.prompt_ids),
        "mask": runs(episode.policy_mask),
    }


def _turn(turn: Turn) -> Json:
    return {
        "kind": turn.reply.kind,
        "text": turn.reply.text,
        "questions": turn.reply.questions,
        "code": turn.reply.code,
        "answer": finite(asdict(turn.answer)) if turn.answer else None,
    }


def _execution(execution: Execution | None) -> Json:
    return None if execution is None else finite(asdict(execution))


def _score(score: Score) -> Json:
    return finite(asdict(score))
