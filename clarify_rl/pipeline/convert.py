"""`clarify-rl convert`: what a run evaluated, in the forms of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clarify_rl.config import Config
from clarify_rl.evaluation.compare import compare
from clarify_rl.pipeline.evaluate import finished_results
from clarify_rl.pipeline.inspect_logs import write_inspect_logs
from clarify_rl.report.figures import write_figures
from clarify_rl.store import Run


def convert(
    config: Config, run: Run, to: Literal["inspect", "dataset", "figures"], out: Path, image: str = "png"
) -> list[Path]:
    """Writes the files, and returns their paths. RunFolderError where nothing was evaluated, ConfigError for a lack."""
    results = finished_results(config, run)
    match to:
        case "inspect":
            return write_inspect_logs(results, run.info(), out)
        case "figures":
            return write_figures(compare(results), out, image=image)
        case "dataset":
            from clarify_rl.pipeline.publish import write_episodes  # loads datasets

            return write_episodes(out, results)
