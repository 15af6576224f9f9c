"""Evaluations as Inspect's logs, one for each checkpoint on each suite: `inspect view --log-dir FOLDER` reads them.

They are in the JSON form of Inspect's log format (version 2), so Inspect need not be installed beside clarify-rl.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clarify_rl.evaluation.metrics import GroupSummary, Mean, numbered, summarise
from clarify_rl.report.payload import Json
from clarify_rl.types import Episode, Results

_SCORER = "clarify-rl"


def write_inspect_logs(results: Sequence[Results], info: Mapping[str, str], out: Path) -> list[Path]:
    """Writes the logs and returns their paths; `info` is what the run says of itself."""
    out.mkdir(parents=True, exist_ok=True)
    moment = re.sub(r"[:+]", "-", info["started"])  # Inspect sorts by the time in the name
    paths = []
    for result in results:
        paths.append(out / f"{moment}_{_plain(result.suite)}_{_plain(result.checkpoint)}.json")
        paths[-1].write_text(json.dumps(_log(result, info), allow_nan=False), encoding="utf-8")
    return paths


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name)


def _log(result: Results, info: Mapping[str, str]) -> dict[str, Json]:
    samples = [_sample(*each) for each in numbered(result.episodes)]
    ids = list(dict.fromkeys(episode.variant.id for episode in result.episodes))
    groups = [group for group in summarise(result).groups if group.episodes]
    name = hashlib.sha256(f"{info['started']} {result.suite} {result.checkpoint}".encode()).hexdigest()[:22]
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "created": info["started"],
            "eval_id": name,
            "run_id": name,
            "task": result.suite,
            "task_id": name,
            "dataset": {"name": result.suite, "samples": len(ids), "sample_ids": ids, "shuffled": False},
            "model": f"clarify-rl/{result.checkpoint}",
            "config": {"epochs": -(-len(samples) // max(1, len(ids)))},
            "packages": {"clarify-rl": info.get("clarify-rl", "")},
            "metadata": dict(info),
        },
        "plan": {"name": "plan", "steps": []},
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": [{"name": group.group, "scorer": _SCORER, "metrics": _metrics(group)} for group in groups],
        },
        "stats": {"started_at": info["started"], "completed_at": info["started"], "model_usage": {}},
        "samples": samples,
    }


def _metrics(group: GroupSummary) -> Json:
    means = {name: value for name, value in vars(group).items() if isinstance(value, Mean)}
    return {name: {"name": name, "value": mean.value} for name, mean in means.items() if mean.value is not None}


def _sample(number: int, episode: Episode) -> Json:
    """An episode; what could not be measured has an error and no score, as Inspect has it too."""
    variant, execution = episode.variant, episode.execution
    why = episode.failure or (execution.detail if execution else "")
    rewards = {score.name: score.value for score in episode.scores}
    told = {**rewards, "solved": episode.solved, "tests passed": episode.pass_rate, "reward": episode.reward}
    return {
        "id": variant.id,
        "epoch": number,
        "input": variant.prompt,
        "target": variant.problem.solution,
        "messages": list(_messages(episode)),
        "output": {"model": _SCORER, "choices": []},
        "scores": {name: {"value": value, "explanation": why} for name, value in told.items() if value is not None},
        "metadata": {
            "kind": variant.kind,
            "facts": [fact.statement for fact in variant.facts],
            "revealed": [fact.id in episode.revealed for fact in variant.facts],
            "stop": str(episode.stop),
            "tests": list(execution.per_test) if execution else [],
        },
        **({} if episode.measured else {"error": {"message": why, "traceback": "", "traceback_ansi": ""}}),
    }


def _messages(episode: Episode) -> Iterator[Json]:
    yield {"role": "user", "content": episode.variant.prompt}
    for turn in episode.turns:
        yield {"role": "assistant", "content": turn.reply.text, "metadata": {"kind": str(turn.reply.kind)}}
        if turn.answer:
            heard = [str(heard.outcome) for heard in turn.answer.heard]
            yield {"role": "user", "content": turn.answer.text, "metadata": {"heard": heard}}
