"""The pool on Ray: environments on actors, and every call a batch that is sent through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray

from clarify_rl.pool.actor import EnvActor
from clarify_rl.pool.connection import join_ray, leave_ray
from clarify_rl.pool.dispatch import Dispatch, Route
from clarify_rl.pool.fleet import Fleet
from clarify_rl.pool.meters import Meters
from clarify_rl.pool.worker import RESPOND, SCORE, PoolSpec, Workers
from clarify_rl.types import Episode, Exchange, Response, Score


class RayPool:
    """Environments on Ray actors, as many as there is room and work for; the same results as in one process.

    A lost actor or node costs only what it was working on, which is done once more elsewhere. Starts a local Ray unless
    one is connected or RAY_ADDRESS names one; `close` stops only what was started, once no other pool uses it. The
    first worker may take `start_s` to join: a machine may have to be started for it.
    """

    def __init__(
        self,
        spec: PoolSpec,
        *,
        workers: int | Workers,
        deadline_s: float = 120.0,
        start_s: float = 120.0,
    ) -> None:
        bounds = Workers(workers, workers) if isinstance(workers, int) else workers
        self._connected = join_ray({name: amount * bounds.most for name, amount in bounds.resources.items()})
        self._route = _route(spec, bounds, deadline_s, start_s)
        try:
            self._route.fleet.open(start_s)
        except BaseException:
            self.close()
            raise

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        return Dispatch(self._route, RESPOND, exchanges).run()

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return Dispatch(self._route, SCORE, episodes).run()

    def describe(self) -> str:
        return self._route.fleet.said or ""

    def numbers(self) -> Mapping[str, float]:
        return self._route.meters.take()

    def close(self) -> None:
        self._route.fleet.close()
        self._leave_ray()

    def _leave_ray(self) -> None:
        if self._connected:
            leave_ray()


def _route(spec: PoolSpec, workers: Workers, deadline_s: float, start_s: float) -> Route:
    actor = ray.remote(EnvActor)
    meters = Meters(spec.env)

    def start(options: Mapping[str, Any]) -> Any:  # Any: Ray's options, and its handle
        return actor.options(**options).remote(spec, deadline_s)

    return Route(spec, Fleet(start, workers, meters), meters, deadline_s, start_s)
