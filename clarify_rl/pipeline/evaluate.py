"""Evaluation: every checkpoint of a run plays every suite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.markup import escape
from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.config_files import differences, to_yaml
from clarify_rl.engines import engine_for_evaluation
from clarify_rl.errors import ConfigError, RunFolderError, unknown_name
from clarify_rl.eval_sections import SILENT, UserConfig
from clarify_rl.evaluation.evaluate import episode_ids, evaluate, starts_of
from clarify_rl.pipeline.canaries import SCRIPTED, scripted_player
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.data import make_suites
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.eval_cache import cache_of, digest_of_model, key_of
from clarify_rl.pipeline.fitting import say_what_is_cut_off
from clarify_rl.pipeline.terminal import say
from clarify_rl.players import Player, player_for
from clarify_rl.policies.openai import served
from clarify_rl.policies.vllm import Engines
from clarify_rl.seeds import derive_seed
from clarify_rl.store import Run
from clarify_rl.timeline import Timeline
from clarify_rl.types import Episode, Pool, Results, Start, Variant


def engines_for(config: Config) -> Engines:
    """The vLLM that a process may share among the checkpoints it evaluates."""

    def export(spec: str, out: Path) -> None:
        from clarify_rl.training.export import export_model  # loads peft

        export_model(spec, out)

    return Engines(config.engine.options, export)


def record(checkpoint: str, suite: str) -> str:
    """The name of what a checkpoint did on a suite, as a stage and as a file of episodes."""
    return f"eval-{checkpoint}-{suite}"


def to_play(config: Config, run: Run, checkpoint: str) -> list[str]:
    """The suites that a checkpoint has not finished."""
    return [suite for suite in config.suites if not run.is_done(record(checkpoint, suite))]


def evaluate_checkpoint(config: Config, run: Run, checkpoint: str, engines: Engines) -> None:
    """Plays the suites that one checkpoint has not finished, greedily unless configured otherwise.

    What an interrupted one has played of a suite is kept, by whole batches, so that it ends as one that was not.
    """
    spec = checkpoints(config)[checkpoint] or str(run.model_folder(checkpoint))
    keys = _taken_over(config, run, checkpoint, spec)
    suites = {name: run.read_variants(name) for name in to_play(config, run, checkpoint)}
    if not suites:
        return
    total = sum(config.suites[name].samples * len(variants) for name, variants in suites.items())
    say(f"[bold]eval[/bold]: {checkpoint} in {total} episodes of {', '.join(suites)} -> {run.folder / 'episodes'}")
    player_of = _players(config, spec, engines, [variant for part in suites.values() for variant in part])
    with tqdm(total=total, desc=f"eval {checkpoint}", unit="episode", dynamic_ncols=True) as bar:
        for user, names in _by_user(config, list(suites)).items():
            with open_pool(_with_user(config, user), run) as pool:
                for name in names:
                    own, variants = record(checkpoint, name), suites[name]
                    seconds = _play(config, run, own, name, variants, player_of(name, variants), pool, bar.update)
                    if key := keys.get(name):
                        _keep(config, run, own, key, variants, seconds)


def _play(
    config: Config,
    run: Run,
    own: str,
    name: str,
    variants: Sequence[Variant],
    player: Player,
    pool: Pool,
    on_episodes: Callable[[int], object],
) -> float:
    """Plays what is left of a suite, puts it on record under `own`, and marks it done; the seconds that this took."""
    started, timeline = time.monotonic(), Timeline()
    starts, size = _starts(config, name, variants), config.eval.batch_size
    kept = run.count_episodes(own) // size * size
    run.keep_episodes(own, kept)
    on_episodes(kept)
    for episodes in _played(config, player, pool, name, starts[kept:], timeline):
        run.add_episodes(own, episodes)
        on_episodes(len(episodes))
    seconds = time.monotonic() - started
    run.mark_done(own, seconds, timeline.take())
    return seconds


def _keep(config: Config, run: Run, own: str, key: str, variants: Sequence[Variant], seconds: float) -> None:
    """For other runs, unless a failure of ours is among it, which would be theirs for ever."""
    cache = cache_of(config)
    if cache and all(episode.measured for episode in run.read_episodes(own, variants)):
        cache.keep(key, run, own, seconds)


def _taken_over(config: Config, run: Run, checkpoint: str, spec: str) -> dict[str, str | None]:
    """The keys of the suites that are still to play, after those that the cache knows were taken from it."""
    cache, keys = cache_of(config), dict[str, str | None]()
    if cache is None:
        return keys
    model = digest_of_model(spec)
    for suite in to_play(config, run, checkpoint):
        key = keys[suite] = key_of(_with_user(config, config.suites[suite].user), run, model, suite)
        if key and (whose := cache.take(key, run, record(checkpoint, suite))):
            say(f"[dim]{checkpoint} on {suite}: as played by {escape(whose)} (eval.cache)[/dim]")
        elif key is None:
            say(f"[dim]{checkpoint} on {suite}: not for eval.cache: a server or a plugin may answer otherwise[/dim]")
    return keys


def _players(
    config: Config, spec: str, engines: Engines, variants: Sequence[Variant]
) -> Callable[[str, Sequence[Variant]], Player]:
    """Who plays a suite: one model all of them, after it is said by which engine and what its context cuts off.

    A scripted policy is another for each suite: what it says of a variant depends on what the suite shows of it.
    """
    if spec.startswith(SCRIPTED):
        return lambda name, suite: scripted_player(
            config, spec, suite, lambda variant: episode_ids(variant, config.suites[name].samples)
        )
    if not served(spec):
        say(f"[dim]engine: {escape(str(engine_for_evaluation(config)))}[/dim]")
    player = player_for(config, spec, engines)
    say_what_is_cut_off(player.chat, player.limits, variants)
    return lambda name, _: player.at(config.eval.temperature_of(config.suites[name]))


def _starts(config: Config, name: str, variants: Sequence[Variant]) -> list[Start]:
    suite = config.suites[name]
    return starts_of(variants, samples=suite.samples, seed=derive_seed(config.seed, "eval"), price=suite.price)


def _played(
    config: Config, player: Player, pool: Pool, name: str, starts: Sequence[Start], timeline: Timeline
) -> Iterator[list[Episode]]:
    suite, limits = config.suites[name], player.limits
    if suite.max_questions is not None:
        limits = replace(limits, max_questions=suite.max_questions)
    return evaluate(
        starts,
        policy=player.policy,
        pool=pool,
        chat=player.chat,
        limits=limits,
        batch_size=config.eval.batch_size,
        stream=config.engine.stream,
        timeline=timeline,
    )


def _by_user(config: Config, suites: Sequence[str]) -> dict[str, list[str]]:
    """The suites of each user, "" for the one of training, so that one pool serves all of them."""
    by_user: dict[str, list[str]] = {}
    for name in suites:
        by_user.setdefault(config.suites[name].user, []).append(name)
    return by_user


def _with_user(config: Config, name: str) -> Config:
    if not name:
        return config
    users = {SILENT: UserConfig(use=SILENT), **config.eval.users}
    if name not in users:
        raise ConfigError(f"eval.suites: {unknown_name('user', name, users)}")
    user = users[name]
    env = config.env.model_copy(update={"user": user.use, "user_options": user.options})
    return config.model_copy(update={"env": env})


def read_results(config: Config, run: Run) -> list[Results]:
    """What the checkpoints of a run have finished, suite by suite."""
    suites = {name: run.read_variants(name) for name in config.suites}
    return [
        Results(checkpoint, name, tuple(run.read_episodes(record(checkpoint, name), variants)))
        for name, variants in suites.items()
        for checkpoint in checkpoints(config)
        if run.is_done(record(checkpoint, name))
    ]


def finished_results(config: Config, run: Run) -> list[Results]:
    """The same; RunFolderError where nothing is finished."""
    if results := read_results(config, run):
        return results
    raise RunFolderError(f"{run.folder} has no finished evaluation. First: clarify-rl eval {run.folder}")


def check_names(results: Sequence[Results], checkpoint: str, suite: str) -> None:
    """RunFolderError where a name that is wanted ("": none is) is not among the results'."""
    played = dict.fromkeys(result.checkpoint for result in results)
    suites = dict.fromkeys(result.suite for result in results)
    for what, name, known in (("checkpoint", checkpoint, played), ("suite", suite, suites)):
        if name and name not in known:
            raise RunFolderError(unknown_name(what, name, known))


_MORE = ("eval.suites", "eval.also", "eval.users", "eval.batch_size", "eval.server", "eval.cache", "engine", "sources")


def evaluate_more(run: Run, before: Config, after: Config) -> None:
    """Gives a run the suites that `after` has beyond `before`: its configuration is changed, and their variants made.

    ConfigError for any other change, and for one of a suite that was played: its numbers would be of both.
    """
    old, new = to_yaml(before), to_yaml(after)
    changed = differences(old, new)
    other = [change for change in changed if not change.startswith(_MORE)]
    if other:
        raise ConfigError(
            f"A finished run can be evaluated on more, not otherwise ({other[0]}). What may change: {', '.join(_MORE)}."
        )
    for suite in before.suites:
        played = any(run.is_done(record(name, suite)) for name in checkpoints(before))
        if played and after.suites.get(suite) != before.suites[suite]:
            raise ConfigError(f"eval.suites.{suite} was played already. Give the other one a name of its own.")
    make_suites(after, run)
    if changed:
        run.change(new, "; ".join(changed))
