"""`clarify-rl publish`: a trained checkpoint with its card and its numbers, in a folder or on the hub.

Dialogues quote the problems that they are about, and not every source may be passed on (HumanEvalComm has no licence
file, LeetCode's statements are LeetCode's): they come along only where they are asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from datasets import Dataset

from clarify_rl.config import Config
from clarify_rl.config_files import CONFIG_FILE
from clarify_rl.errors import RunFolderError, unknown_name
from clarify_rl.evaluation.compare import Comparison, compare
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.evaluate import finished_results
from clarify_rl.report.exports import to_markdown
from clarify_rl.store import Run
from clarify_rl.types import Episode, Results

_NUMBERS = ("comparison.json", "comparison.md", "comparison.csv", CONFIG_FILE, "run.json")
_PAGES = ("report.html", "training.html")
_CARD = """---
{meta}---
# {title}

A code model that asks before it guesses, trained with clarify-rl: `{command}`.

{how}

{table}

Asking is read in pairs: ask-recall on unclear variants and false-ask on clear ones, under the same prompt. Intervals
are paired bootstrap intervals over problems. `comparison.json` has every number with its count, `config.yaml` every
setting.
{dialogues}
"""
_WITH = """
`report.html` shows every dialogue; `episodes/` holds them for `datasets.load_dataset("parquet", data_dir="episodes")`.
"""


def publish_run(config: Config, run: Run, checkpoint: str, out: Path, *, dialogues: bool) -> Path:
    """Writes the checkpoint, its card and the run's numbers to `out`, which must hold nothing yet.

    RunFolderError where the run has no such checkpoint, or nothing was evaluated.
    """
    trained = [name for name, spec in checkpoints(config).items() if spec is None and run.is_done(name)]
    if checkpoint not in trained:
        raise RunFolderError(unknown_name("checkpoint that this run trained", checkpoint, trained))
    results = finished_results(config, run)
    shutil.copytree(run.model_folder(checkpoint), out, ignore=shutil.ignore_patterns("*.jsonl"), dirs_exist_ok=True)
    for name in (*_NUMBERS, *(_PAGES if dialogues else ())):
        if (run.folder / name).is_file():
            shutil.copy2(run.folder / name, out / name)
    if dialogues:
        write_episodes(out / "episodes", results)
    card = _card(config, run, checkpoint, compare(results), dialogues=dialogues)
    (out / "README.md").write_text(card, encoding="utf-8")
    return out


def write_episodes(folder: Path, results: list[Results]) -> list[Path]:
    """A Parquet file for each checkpoint on each suite."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for result in results:
        rows = [_row(result, episode) for episode in result.episodes]
        paths.append(folder / f"{result.checkpoint}-{result.suite}.parquet")
        Dataset.from_list(rows).to_parquet(str(paths[-1]))
    return paths


def _row(result: Results, episode: Episode) -> dict[str, object]:
    return {
        "checkpoint": result.checkpoint,
        "suite": result.suite,
        "variant": episode.variant.id,
        "kind": episode.variant.kind,
        "messages": list(_messages(episode)),
        "facts": [fact.statement for fact in episode.variant.facts],
        "revealed": [fact.id in episode.revealed for fact in episode.variant.facts],
        "solved": episode.solved,
        "pass_rate": episode.pass_rate,
        "stop": str(episode.stop),
    }


def _messages(episode: Episode) -> Iterator[dict[str, str]]:
    yield {"role": "user", "content": episode.variant.prompt}
    for turn in episode.turns:
        yield {"role": "assistant", "content": turn.reply.text}
        if turn.answer:
            yield {"role": "user", "content": turn.answer.text}


def _card(config: Config, run: Run, checkpoint: str, comparison: Comparison, *, dialogues: bool) -> str:
    info = run.info()
    heading, _, table = to_markdown(comparison).partition("\n")
    base = {} if config.model.base == "embedded" else {"base_model": config.model.base}
    meta = {**base, "library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["clarify-rl", "trl"]}
    return _CARD.format(
        meta=yaml.safe_dump(meta, sort_keys=True),
        title=f"{config.name}, {checkpoint}: {heading.removeprefix('# ')}",
        command=info.get("command", "clarify-rl run"),
        how=_how(config, checkpoint, info),
        table=table.strip(),
        dialogues=_WITH if dialogues else "",
    )


def _how(config: Config, checkpoint: str, info: Mapping[str, str]) -> str:
    base = "the base model that ships with clarify-rl" if config.model.base == "embedded" else config.model.base
    stages = [f"from {base}", *(["SFT on dialogues that ask"] if config.sft else [])]
    if checkpoint == "rl" and config.rl:
        rewards = ", ".join(f"{reward.weight:g} {reward.name}" for reward in config.rewards)
        stages.append(f"{config.rl.algorithm.upper()} on its own dialogues ({rewards})")
    versions = json.dumps({name: info[name] for name in ("clarify-rl", "torch", "trl") if name in info})
    return f"Made {', then '.join(stages)}; seed {config.seed}; versions {versions}."
