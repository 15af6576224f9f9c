"""Evaluation: every checkpoint of a run plays every suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.markup import escape
from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.engines import engine_for_evaluation
from clarify_rl.errors import ConfigError, unknown_name
from clarify_rl.evaluation.evaluate import evaluate
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.fitting import say_what_is_cut_off
from clarify_rl.pipeline.terminal import say
from clarify_rl.players import Player, player_for
from clarify_rl.policies.openai import served
from clarify_rl.policies.vllm import Engines
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run
from clarify_rl.types import Episode, Pool, Results, Variant


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
    with tqdm(total=total, desc=f"eval {checkpoint}", unit="episode", dynamic_ncols=True) as bar:
        for user, names in _by_user(config).items():
            with open_pool(_with_user(config, user), run) as pool:
                for name in names:
                    run.drop_episodes(f"eval-{checkpoint}-{name}")
                    for episodes in _played(config, player, pool, name, suites[name]):
                        run.add_episodes(f"eval-{checkpoint}-{name}", episodes)
                        bar.update(len(episodes))


def _played(
    config: Config, player: Player, pool: Pool, name: str, variants: Sequence[Variant]
) -> Iterator[list[Episode]]:
    suite, limits = config.suites[name], player.limits
    if suite.max_questions is not None:
        limits = replace(limits, max_questions=suite.max_questions)
    return evaluate(
        variants,
        policy=player.policy,
        pool=pool,
        chat=player.chat,
        limits=limits,
        batch_size=config.eval.batch_size,
        seed=derive_seed(config.seed, "eval"),
        price=suite.price,
    )


def _by_user(config: Config) -> dict[str, list[str]]:
    """The suites of each user, "" for the one of training, so that one pool serves all of them."""
    by_user: dict[str, list[str]] = {}
    for name, suite in config.suites.items():
        by_user.setdefault(suite.user, []).append(name)
    return by_user


def _with_user(config: Config, name: str) -> Config:
    if not name:
        return config
    if name not in config.eval.users:
        raise ConfigError(f"eval.suites: {unknown_name('user', name, config.eval.users)}")
    user = config.eval.users[name]
    env = config.env.model_copy(update={"user": user.use, "user_options": user.options})
    return config.model_copy(update={"env": env})


def read_results(config: Config, run: Run) -> list[Results]:
    """The evaluated checkpoints of a run, suite by suite."""
    suites = {name: run.read_variants(name) for name in config.suites}
    return [
        Results(checkpoint, name, tuple(run.read_episodes(f"eval-{checkpoint}-{name}", variants)))
        for name, variants in suites.items()
        for checkpoint in checkpoints(config)
        if run.is_done(f"eval-{checkpoint}")
    ]
