"""Evaluation: every checkpoint of a run plays every suite."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.engines import engine_for_evaluation
from clarify_rl.evaluation.evaluate import evaluate
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.fitting import say_what_is_cut_off
from clarify_rl.pipeline.terminal import say
from clarify_rl.players import player_for
from clarify_rl.policies.openai import served
from clarify_rl.policies.vllm import Engines
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run
from clarify_rl.types import Results


def engines_for(config: Config) -> Engines:
    """The vLLM that a process may share among the checkpoints it evaluates."""

    def export(spec: str, out: Path) -> None:
        from clarify_rl.training.export import export_model  # loads peft

        export_model(spec, out)

    return Engines(config.engine.options, export)


def evaluate_checkpoint(config: Config, run: Run, checkpoint: str, engines: Engines) -> None:
    """Plays every suite with one checkpoint, greedily unless configured otherwise; episodes/eval-CHECKPOINT-SUITE."""
    spec = checkpoints(config)[checkpoint] or str(run.model_folder(checkpoint))
    suites = {name: run.read_variants(name) for name in config.suites}
    total = sum(map(len, suites.values()))
    say(f"[bold]eval[/bold]: {checkpoint} on {total} variants of {', '.join(suites)} -> {run.folder / 'episodes'}")
    if not served(spec):
        say(f"[dim]engine: {escape(str(engine_for_evaluation(config)))}[/dim]")
    player = player_for(config, spec, engines)
    say_what_is_cut_off(player.chat, player.limits, [variant for part in suites.values() for variant in part])
    with (
        open_pool(config, run) as pool,
        tqdm(total=total, desc=f"eval {checkpoint}", unit="episode", dynamic_ncols=True) as bar,
    ):
        for name, variants in suites.items():
            run.drop_episodes(f"eval-{checkpoint}-{name}")
            for episodes in evaluate(
                variants,
                policy=player.policy,
                pool=pool,
                chat=player.chat,
                limits=player.limits,
                batch_size=config.eval.batch_size,
                seed=derive_seed(config.seed, "eval"),
                price=config.suites[name].price,
            ):
                run.add_episodes(f"eval-{checkpoint}-{name}", episodes)
                bar.update(len(episodes))


def read_results(config: Config, run: Run) -> list[Results]:
    """The evaluated checkpoints of a run, suite by suite."""
    suites = {name: run.read_variants(name) for name in config.suites}
    return [
        Results(checkpoint, name, tuple(run.read_episodes(f"eval-{checkpoint}-{name}", variants)))
        for name, variants in suites.items()
        for checkpoint in checkpoints(config)
        if run.is_done(f"eval-{checkpoint}")
    ]
