"""Where episodes' environments live: in this process, or on Ray actors that step them in parallel.

A worker's failure is data: it comes back as a failed response (or an unmeasured score) for its own episodes only.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from clarify_rl.errors import ClarifyError
from clarify_rl.registry import load_env, load_reward
from clarify_rl.types import Episode, Exchange, Pool, Response, Reward, Score, Stop

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RewardSpec:
    """A reward by its spec string, its weight in the sum, and its options."""

    use: str
    weight: float = 1.0
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PoolSpec:
    """What every worker builds for itself: an environment and the rewards. Plain data, so that it crosses processes."""

    env: str = "ask_or_code"
    env_options: Mapping[str, object] = field(default_factory=dict)
    rewards: tuple[RewardSpec, ...] = ()


class Worker:
    """One environment and the rewards, built where they run."""

    def __init__(self, spec: PoolSpec) -> None:
        self._env = load_env(spec.env, spec.env_options)
        self._rewards = [(spec, load_reward(spec.use, spec.options)) for spec in spec.rewards]

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        """Responses in the order of the exchanges; as many at once as the environment says that it can (`threads`)."""
        threads = min(getattr(self._env, "threads", 1), len(exchanges))
        if threads <= 1:
            return [self._respond(exchange) for exchange in exchanges]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._respond, exchanges))

    def describe(self) -> str:
        """What the environment says about where it runs, e.g. how well its executor holds programs in."""
        say = getattr(self._env, "describe", None)
        return str(say()) if say else ""

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return [tuple(_score(spec, rule, episode) for spec, rule in self._rewards) for episode in episodes]

    def close(self) -> None:
        self._env.close()

    def _respond(self, exchange: Exchange) -> Response:
        try:
            response = self._env.respond(exchange)
        except Exception as error:  # an environment's bug is recorded: it must not take its neighbours down
            return _failed(f"environment raised {type(error).__name__}: {error}")
        if response.answer is None and response.stop is None:
            return _failed("the environment returned neither an answer nor a stop")
        if response.stop is Stop.FAILED and not response.failure:
            return _failed("the environment gave no reason")
        return response


def _failed(why: str) -> Response:
    return Response(stop=Stop.FAILED, failure=why)


def _score(spec: RewardSpec, rule: Reward, episode: Episode) -> Score:
    name = spec.use.rpartition(":")[2]
    try:
        found = rule(episode)
        score = found if isinstance(found, Score) else Score(name, found)
        value = None if score.value is None else float(score.value)
    except Exception as error:  # a plugin's bug masks this episode and says so; it does not stop the others
        return Score(name, None, spec.weight, why=f"{type(error).__name__}: {error}")
    if value is not None and not math.isfinite(value):
        # One such number would make the advantages of its whole group meaningless.
        return Score(name, None, spec.weight, score.turn, f"not a finite number: {value}. {score.why}".strip())
    return Score(name, value, spec.weight, score.turn, score.why)


class LocalPool:
    """One worker in this process: the same code without Ray, for debugging and small runs."""

    def __init__(self, spec: PoolSpec) -> None:
        self._worker = Worker(spec)

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        return self._worker.respond(exchanges)

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return self._worker.score(episodes)

    def describe(self) -> str:
        return self._worker.describe()

    def close(self) -> None:
        self._worker.close()


_AHEAD = 2  # chunks that an actor has at once: the one it works on, and the next


@dataclass(frozen=True)
class _Job:
    """A chunk of a batch that some actor works on."""

    items: range
    actor: int


class RayPool:
    """Ray actors with an environment each: small chunks for whoever is free, one deadline for a batch.

    What an actor died on is tried again, one item at a time, so that an item that kills actors costs only itself.
    Starts a local Ray unless one is connected already; `close` stops only what it started.
    """

    def __init__(self, spec: PoolSpec, *, workers: int, deadline_s: float = 120.0, chunk: int = 4) -> None:
        import ray

        self._ray, self._spec = ray, spec
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            # RAY_ADDRESS names a cluster to join; its size and dashboard are not ours to choose.
            own: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False}  # Any: Ray's own options
            if "RAY_ADDRESS" in os.environ:
                own = {}
            ray.init(log_to_driver=False, logging_level=logging.WARNING, **own)
        actor = ray.remote(num_cpus=0.25, max_restarts=-1, scheduling_strategy="SPREAD")(Worker)
        self._actors: list[Any] = [actor.remote(spec) for _ in range(workers)]  # Any: Ray's handles have no methods
        self._deadline_s, self._chunk = deadline_s, chunk
        try:
            said = ray.get([made.describe.remote() for made in self._actors], timeout=deadline_s)
        except Exception as error:
            self.close()
            raise ClarifyError(
                f"The {workers} environment workers did not start: {error}. Try env.workers=0 to see it in one process."
            ) from error
        if len(set(said)) > 1:  # rewards from machines that hold programs in unequally are not one experiment
            self.close()
            raise ClarifyError(f"The machines of the environment workers differ: {'; '.join(sorted(set(said)))}.")
        self._said = said[0] if said else ""

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        return self._map("respond", exchanges, _failed)

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return self._map("score", episodes, lambda why: (Score("pool", None, why=why),))

    def describe(self) -> str:
        return self._said

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._started_ray:
            self._ray.shutdown()

    def _map(self, method: str, items: Sequence[Item], failed: Callable[[str], Result]) -> list[Result]:
        """Runs `method` on all items, in chunks; what fails again alone, or misses the deadline, is `failed`."""
        results: dict[int, Result] = {}
        jobs: dict[Any, _Job] = {}  # Any: Ray's object references
        waiting = [range(len(items))[start : start + self._chunk] for start in range(0, len(items), self._chunk)][::-1]
        suspects: list[int] = []
        deadline = time.monotonic() + self._deadline_s
        while waiting or jobs:
            while waiting and (free := self._least_loaded(jobs)) is not None:
                job = _Job(waiting.pop(), free)
                jobs[self._send(method, free, [items[i] for i in job.items])] = job
            done, _ = self._ray.wait(list(jobs), num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
            if not done:
                why = self._restart({job.actor for job in jobs.values()}, method)
                return [results[i] if i in results else failed(why) for i in range(len(items))]
            job = jobs.pop(done[0])
            try:
                results.update(zip(job.items, self._ray.get(done[0]), strict=True))
            except self._ray.exceptions.RayError:
                suspects += job.items
        for i in suspects:
            results[i] = self._alone(method, items[i], failed, deadline)
        return [results[i] for i in range(len(items))]

    def _alone(self, method: str, item: Item, failed: Callable[[str], Result], deadline: float) -> Result:
        """The result of one item while nothing else runs, after one more failure with another actor."""
        why = ""
        for actor in range(2):
            actor %= len(self._actors)
            try:
                left = max(0.0, deadline - time.monotonic())
                (result,) = self._ray.get(self._send(method, actor, [item]), timeout=left)
                return cast(Result, result)
            except self._ray.exceptions.GetTimeoutError:
                return failed(self._restart({actor}, method))
            except self._ray.exceptions.RayError as error:
                why = f"environment workers failed at it again and again: {type(error).__name__}"
        return failed(why)

    def _send(self, method: str, actor: int, items: Sequence[object]) -> Any:  # Any: an object reference of Ray
        return getattr(self._actors[actor], method).remote(list(items))

    def _least_loaded(self, jobs: Mapping[Any, _Job]) -> int | None:  # Any: Ray's object references
        load = Counter(job.actor for job in jobs.values())
        actor = min(range(len(self._actors)), key=load.__getitem__)
        return actor if load[actor] < _AHEAD else None

    def _restart(self, late: Collection[int], method: str) -> str:
        """Kills actors that did not answer in time, so that the next batch does not queue behind them; says so."""
        for actor in late:
            self._ray.kill(self._actors[actor], no_restart=False)
        what = (
            self._spec.env if method == "respond" else "rewards " + ", ".join(item.use for item in self._spec.rewards)
        )
        return f"{what} gave no answer in {self._deadline_s:.0f} s on environment workers {sorted(late)}"


def make_pool(spec: PoolSpec, *, workers: int, deadline_s: float = 120.0) -> Pool:
    """A pool of Ray actors, or with `workers` 0 one environment in this process."""
    return RayPool(spec, workers=workers, deadline_s=deadline_s) if workers else LocalPool(spec)
