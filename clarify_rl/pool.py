"""Where episodes' environments live: in this process, or on Ray actors that step them in parallel.

A worker's failure is data: it comes back as a failed response (or an unmeasured score) for its own episodes only.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

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
        return [self._respond(exchange) for exchange in exchanges]

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

    def close(self) -> None:
        self._worker.close()


@dataclass
class _Job:
    """A chunk of a batch that some actor works on."""

    start: int
    stop: int
    actor: int
    tries: int = 1


class RayPool:
    """Ray actors with an environment each. Least loaded first, small chunks, a deadline, one more try elsewhere.

    Starts a local Ray unless one is connected already; `close` stops only what it started.
    """

    def __init__(self, spec: PoolSpec, *, workers: int, deadline_s: float = 120.0, chunk: int = 4) -> None:
        import ray

        self._ray = ray
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            ray.init(
                include_dashboard=False, log_to_driver=False, num_cpus=max(workers, 1), logging_level=logging.WARNING
            )
        actor = ray.remote(num_cpus=1 if self._started_ray else 0.25, max_restarts=-1)(Worker)
        self._actors: list[Any] = [actor.remote(spec) for _ in range(workers)]  # Any: Ray's handles have no methods
        self._deadline_s, self._chunk = deadline_s, chunk
        try:
            ray.get([made.score.remote([]) for made in self._actors], timeout=deadline_s)
        except Exception as error:
            self.close()
            raise ClarifyError(
                f"The {workers} environment workers did not start: {error}. Try env.workers=0 to see it in one process."
            ) from error

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        return self._map("respond", exchanges, lambda _, why: _failed(why))

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return self._map("score", episodes, lambda _, why: (Score("pool", None, why=why),))

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._started_ray:
            self._ray.shutdown()

    def _map(self, method: str, items: Sequence[Item], failed: Callable[[Item, str], Result]) -> list[Result]:
        """Runs `method` on all items in chunks; what fails twice or misses the deadline is `failed`."""
        results: dict[int, Result] = {}
        jobs: dict[Any, _Job] = {}  # Any: Ray's object references
        for start in range(0, len(items), self._chunk):
            job = _Job(start, min(start + self._chunk, len(items)), self._least_loaded(jobs))
            jobs[self._send(method, items, job)] = job
        deadline = time.monotonic() + self._deadline_s
        while jobs:
            done, _ = self._ray.wait(list(jobs), num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
            if not done:
                self._give_up(jobs, results, items, failed)
                break
            job = jobs.pop(done[0])
            try:
                results.update(zip(range(job.start, job.stop), self._ray.get(done[0]), strict=True))
            except self._ray.exceptions.RayError as error:
                why = f"environment worker {job.actor} failed twice: {type(error).__name__}"
                if job.tries < 2:
                    again = _Job(job.start, job.stop, self._least_loaded(jobs, avoid=job.actor), tries=2)
                    jobs[self._send(method, items, again)] = again
                else:
                    results.update({i: failed(items[i], why) for i in range(job.start, job.stop)})
        return [results[i] for i in range(len(items))]

    def _send(self, method: str, items: Sequence[Item], job: _Job) -> object:
        return getattr(self._actors[job.actor], method).remote(list(items[job.start : job.stop]))

    def _least_loaded(self, jobs: Mapping[Any, _Job], avoid: int = -1) -> int:  # Any: Ray's object references
        load = [sum(job.actor == actor for job in jobs.values()) for actor in range(len(self._actors))]
        others = [actor for actor in range(len(load)) if actor != avoid] or [avoid]
        return min(others, key=load.__getitem__)

    def _give_up(
        self,
        jobs: Mapping[Any, _Job],  # Any: Ray's object references
        results: dict[int, Result],
        items: Sequence[Item],
        failed: Callable[[Item, str], Result],
    ) -> None:
        """Cancels what is late; its actors are restarted, so that the next batch does not queue behind a hung one."""
        late = {job.actor for job in jobs.values()}
        why = f"no answer from environment workers {sorted(late)} in {self._deadline_s:.0f} s"
        for job in jobs.values():
            results.update({i: failed(items[i], why) for i in range(job.start, job.stop)})
        for actor in late:
            self._ray.kill(self._actors[actor], no_restart=False)


def make_pool(spec: PoolSpec, *, workers: int, deadline_s: float = 120.0) -> Pool:
    """A pool of Ray actors, or with `workers` 0 one environment in this process."""
    return RayPool(spec, workers=workers, deadline_s=deadline_s) if workers else LocalPool(spec)
