"""clarify-rl from Python, for notebooks and scripts: runs as data frames, evaluation, comparison.

import clarify_rl as cr

run = cr.open_run("runs/demo")
run.episodes().groupby(["checkpoint", "kind"]).solved.mean()
run.metrics().plot(x="step", y="reward/total")
more = cr.evaluate("Qwen/Qwen2.5-Coder-0.5B-Instruct", "HumanEvalComm.jsonl", limit=100)
cr.compare([*run.results("new_instances")]).differences
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from clarify_rl.config import Config
from clarify_rl.config_files import saved_config, to_yaml
from clarify_rl.errors import RunFolderError
from clarify_rl.evaluation.calibration import confidence
from clarify_rl.evaluation.compare import Comparison, compare
from clarify_rl.evaluation.metrics import numbered
from clarify_rl.pipeline.evaluate import read_results
from clarify_rl.pipeline.plan import require_heavy, require_light
from clarify_rl.pipeline.run import run_all
from clarify_rl.pipeline.standalone import evaluation_config
from clarify_rl.store import Run
from clarify_rl.types import Episode, Results

__all__ = ["RunView", "compare", "evaluate", "open_run"]


@dataclass(frozen=True)
class RunView:
    """A run that is on disk. Each call reads it anew, so a run that goes on shows what it has by then."""

    folder: Path
    config: Config

    def results(self, suite: str | None = None) -> list[Results]:
        """What its checkpoints have finished, on one suite or on all. RunFolderError where that is nothing."""
        with Run(self.folder) as run:
            found = [result for result in read_results(self.config, run) if suite in (None, result.suite)]
        if not found:
            of = f" of {suite}" if suite else ""
            raise RunFolderError(f"{self.folder} has no finished evaluation{of}. First: clarify-rl eval {self.folder}")
        return found

    def episodes(self, suite: str | None = None) -> pd.DataFrame:
        """One row an evaluated episode; `solved` and `pass_rate` are missing where they could not be measured.

        Columns: checkpoint, suite, variant, sample (1, 2, ... of the variant), problem, kind, missing (facts), solved,
        pass_rate, asked, questions, revealed (facts), stop, verdict, tokens (the policy's), confidence (in its last
        reply), reward, failure, and dialogue, its text.
        """
        rows = [_row(result, *each) for result in self.results(suite) for each in numbered(result.episodes)]
        return pd.DataFrame(rows).astype(
            {"solved": "boolean", "pass_rate": "Float64", "reward": "Float64", "confidence": "Float64"}
        )

    def metrics(self, stage: str = "rl") -> pd.DataFrame:
        """One row a logged step of a stage, a column a metric, by the names of metrics.jsonl."""
        with Run(self.folder) as run:
            return pd.DataFrame([row for row in run.read_metrics() if row["stage"] == stage])

    def comparison(self) -> Comparison:
        """Its checkpoints compared, as `clarify-rl compare` does."""
        return compare(self.results())

    def differences(self) -> pd.DataFrame:
        """The paired differences of that comparison, a row each: points, low, high, p, holm, pairs, ..."""
        return pd.DataFrame([asdict(difference) for difference in self.comparison().differences])


def open_run(folder: str | Path) -> RunView:
    """The run in a folder. RunFolderError where there is none."""
    return RunView(Path(folder), saved_config(Path(folder)))


def evaluate(
    models: str | Mapping[str, str],
    suite: str,
    *,
    limit: int | None = None,
    out: str | None = None,
    overrides: Sequence[str] = (),
) -> RunView:
    """Evaluates a model, or several by their names, on a suite, as `clarify-rl eval --model ... --suite ...` does.

    `suite`: bank, HumanEvalComm's file, or its hub name. `overrides` are settings such as "eval.batch_size=64". A
    folder that holds the same evaluation already is gone on with. Raises ConfigError for what cannot work.
    """
    named = {"model": models} if isinstance(models, str) else models
    config = evaluation_config(named, suite, limit=limit, out=out, overrides=overrides)
    require_light(config)
    require_heavy(config)
    text, again = to_yaml(config), (config.folder / "config.yaml").exists()
    with Run.resume(config.folder, text) if again else Run.create(config.folder, text, ["clarify_rl.evaluate"]) as run:
        run_all(config, run)
    return open_run(config.folder)


def _row(result: Results, sample: int, episode: Episode) -> dict[str, object]:
    variant, execution = episode.variant, episode.execution
    return {
        "checkpoint": result.checkpoint,
        "suite": result.suite,
        "variant": variant.id,
        "sample": sample,
        "problem": variant.problem.id,
        "kind": variant.kind,
        "missing": len(variant.facts),
        "solved": episode.solved,
        "pass_rate": episode.pass_rate,
        "asked": episode.asked,
        "questions": len(episode.questions),
        "revealed": len(episode.revealed),
        "stop": str(episode.stop),
        "verdict": str(execution.verdict) if execution else "",
        "tokens": sum(episode.policy_mask),
        "confidence": confidence(episode),
        "reward": episode.reward,
        "failure": episode.failure,
        "dialogue": _text(episode),
    }


def _text(episode: Episode) -> str:
    said = [f"user: {episode.variant.prompt}"]
    for turn in episode.turns:
        said.append(f"model: {turn.reply.text}")
        if turn.answer:
            said.append(f"user: {turn.answer.text}")
    return "\n".join(said)
