"""A run from its beginning to its end: the stages in order, each unless it is complete."""

from __future__ import annotations

import time
from collections.abc import Callable

from clarify_rl.config import Config, StageName
from clarify_rl.errors import ConfigError, RunFolderError
from clarify_rl.evaluation.compare import Comparison
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.compare import compare_run
from clarify_rl.pipeline.data import make_data
from clarify_rl.pipeline.evaluate import engines_for, evaluate_checkpoint, to_play
from clarify_rl.pipeline.memory import telling_of_memory
from clarify_rl.pipeline.terminal import say
from clarify_rl.pipeline.train import rl, sft
from clarify_rl.policies.vllm import Engines
from clarify_rl.store import Run


def run_all(config: Config, run: Run) -> Comparison:
    """Every stage that is not done yet, then the comparison. Prints a line before each."""
    run_stage("data", config, run)
    if config.sft:
        run_stage("sft", config, run)
    if config.rl:
        run_stage("rl", config, run)
    return evaluate_run(config, run)


def run_stage(name: StageName, config: Config, run: Run) -> None:
    """One stage, unless it is complete. Raises RunFolderError when the stage before it is missing."""
    earlier = config.stage_before(name)
    if earlier and not run.is_done(earlier):
        raise RunFolderError(f"{run.folder} has no {earlier} yet. Run `clarify-rl {earlier} CONFIG` first.")
    if name != "data" and getattr(config, name) is None:
        raise ConfigError(f"This configuration has no {name} stage (`{name}: null`).")
    _unless_done(run, name, {"data": make_data, "sft": sft, "rl": rl}[name], config)


def evaluate_run(config: Config, run: Run) -> Comparison:
    """Evaluates every checkpoint that exists and is not evaluated yet, then compares all of them."""
    if not run.is_done("data"):
        raise RunFolderError(f"{run.folder} has no data yet. Run `clarify-rl data CONFIG` first.")
    with engines_for(config) as engines:
        for name, spec in checkpoints(config).items():
            if spec or run.is_done(name):
                _evaluate(name, config, run, engines)
    return compare_run(config, run).comparison


def _evaluate(checkpoint: str, config: Config, run: Run, engines: Engines) -> None:
    stage = f"eval-{checkpoint}"
    if not to_play(config, run, checkpoint):
        say(f"[dim]{stage}: complete already[/dim]")
        return
    started = time.monotonic()
    with telling_of_memory(stage, config):
        evaluate_checkpoint(config, run, checkpoint, engines)
    say(f"[dim]{stage}: {time.monotonic() - started:.0f} s[/dim]")


def _unless_done(run: Run, name: str, stage: Callable[[Config, Run], None], config: Config) -> None:
    """Marks a stage complete only after it ended well."""
    if run.is_done(name):
        say(f"[dim]{name}: complete already[/dim]")
        return
    started = time.monotonic()
    with telling_of_memory(name, config):
        stage(config, run)
    seconds = time.monotonic() - started
    run.mark_done(name, seconds)
    say(f"[dim]{name}: {seconds:.0f} s[/dim]")
