"""The environments of a run: what a configuration asks for, opened for one stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from rich.markup import escape

from clarify_rl.config import Config, EnvConfig
from clarify_rl.executor import Executor, Limits, Profile
from clarify_rl.pipeline.terminal import say
from clarify_rl.pool import PoolSpec, RewardSpec, Workers, make_pool
from clarify_rl.registry import source_digest
from clarify_rl.store import Run
from clarify_rl.types import Pool


@contextmanager
def open_pool(config: Config, run: Run | None = None) -> Iterator[Pool]:
    """The configured environments, closed at the end whatever happens. The run is told where they run."""
    env = config.env
    pool = make_pool(pool_spec(config), workers=_workers(env), deadline_s=env.deadline_s)
    try:
        if run is not None:
            run.note("environment", pool.describe())
            _note_plugins(config, run)
        yield pool
    finally:
        pool.close()


def pool_spec(config: Config) -> PoolSpec:
    """What every worker builds for itself."""
    env = config.env
    options = {**env.options, "user": env.user, "user_options": env.user_options, "executor": executor(config)}
    rewards = tuple(RewardSpec(item.use, item.weight, item.options, item.clip, item.only) for item in config.rewards)
    return PoolSpec(env.use, options, rewards)


def _note_plugins(config: Config, run: Run) -> None:
    """Notes what each plugin file holds, and warns where earlier episodes of the run came from another state of it."""
    users = [config.env.user, *(user.use for user in config.eval.users.values())]
    for spec in dict.fromkeys([config.env.use, *users, *(item.use for item in config.rewards)]):
        digest = source_digest(spec)
        if digest is None:
            continue
        path = spec.rpartition(":")[0]
        known = run.info().get(f"plugin {path}", "")
        if known.endswith(digest):
            continue
        if known:
            say(f"[yellow]{escape(path)} has changed since this run began: its results come from both states.[/yellow]")
        run.note(f"plugin {path}", f"{known}, then {digest}" if known else f"sha256 {digest}")


def _workers(env: EnvConfig) -> Workers | None:
    if not env.workers:
        return None
    least = env.workers if isinstance(env.workers, int) else env.workers.min
    return Workers(least, env.most_workers, env.worker_resources)


def executor(config: Config) -> Executor:
    """The configured executor. On Ray, each worker has two fork servers unless the configuration says more."""
    section = config.executor
    limits = Limits(**{field.name: getattr(section, field.name) for field in fields(Limits)})
    profile = Profile(**{field.name: getattr(section, field.name) for field in fields(Profile)})
    servers = section.servers or (2 if config.env.workers else None)
    return Executor(limits, servers=servers, profile=profile, allow_weak=section.allow_weak, unsafe=section.unsafe)
