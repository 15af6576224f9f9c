"""The pool on Ray: a fleet of actors with an environment each, for every call a batch sent through it."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from clarify_rl.pool.actor import EnvActor
from clarify_rl.pool.dispatch import Dispatch, Route
from clarify_rl.pool.fleet import Fleet
from clarify_rl.pool.meters import Meters
from clarify_rl.pool.worker import RESPOND, SCORE, PoolSpec, Workers
from clarify_rl.types import Episode, Exchange, Response, Score


class RayPool:
    """Environments on Ray actors, as many as there is room and work for; the same results as in one process.

    A lost actor or node costs only what it was working on, which is done once more elsewhere. Starts a local Ray unless
    one is connected or RAY_ADDRESS names one; `close` stops only what it started. The first worker may take `start_s`
    to join: a machine may have to be started for it.
    """

    def __init__(
        self, spec: PoolSpec, *, workers: int | Workers, deadline_s: float = 120.0, start_s: float = 120.0
    ) -> None:
        wanted = Workers(workers, workers) if isinstance(workers, int) else workers
        self._started_ray = _connect(wanted)
        meters, actor = Meters(spec.env), ray.remote(EnvActor)

        def start(options: Mapping[str, Any]) -> Any:  # Any: Ray's options, and its handle
            return actor.options(**options).remote(spec, deadline_s)

        self._meters, self._fleet = meters, Fleet(start, wanted, meters)
        self._route = Route(spec, self._fleet, meters, {}, deadline_s)
        try:
            self._fleet.open(start_s)
        except BaseException:
            self.close()
            raise

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        return Dispatch(self._route, RESPOND, exchanges).run()

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return Dispatch(self._route, SCORE, episodes).run()

    def describe(self) -> str:
        return self._fleet.said

    def numbers(self) -> Mapping[str, float]:
        return self._meters.take()

    def close(self) -> None:
        self._fleet.close()
        if self._started_ray:
            ray.shutdown()


def _connect(workers: Workers) -> bool:
    """Joins the Ray that is connected or that RAY_ADDRESS names; otherwise starts a local one and returns True."""
    if ray.is_initialized():
        return False
    own: dict[str, Any] = {}  # Any: Ray's own options
    if "RAY_ADDRESS" not in os.environ:
        amounts = {name: math.ceil(amount * workers.most) for name, amount in workers.resources.items()}
        own = {"num_cpus": max(1, amounts.pop("CPU", 1)), "include_dashboard": False}
        own["resources"] = {name: amount for name, amount in amounts.items() if name not in ("GPU", "memory")}
    ray.init(log_to_driver=False, logging_level=logging.WARNING, **own)
    return True
