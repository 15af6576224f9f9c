"""A large pool in parts: each is an actor that dispatches to workers of its own, and the driver only feeds parts.

One process sends and takes in a few thousand chunks a second, whatever they hold; see docs/ray.md, "How it scales".
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray

from clarify_rl.errors import ClarifyError
from clarify_rl.pool.actor import EnvActor, Place, here
from clarify_rl.pool.deadlines import PartState, Worked
from clarify_rl.pool.dispatch import Dispatch, Route
from clarify_rl.pool.fleet import Fleet
from clarify_rl.pool.meters import Meters
from clarify_rl.pool.worker import TASKS, PoolSpec, TaskName, Workers

MOST_IN_ONE = (
    1024  # workers that one process drives: more of them could be kept busy only by users slower than a second
)
WORKERS_A_PART = 64


@dataclass(frozen=True)
class Plan:
    """How a pool is made: what each worker is, how many there are, and how long they may take."""

    spec: PoolSpec
    workers: Workers
    deadline_s: float
    start_s: float
    parts: int = 1
    said: str | None = None


def parts_for(workers: int) -> int:
    """In how many parts so many workers are driven; 1 is the driver itself."""
    return 1 if workers <= MOST_IN_ONE else math.ceil(workers / WORKERS_A_PART)


def route_to_workers(plan: Plan) -> Route:
    """Workers that this process drives itself."""
    actor = ray.remote(EnvActor)
    meters = Meters(plan.spec.env)

    def start(options: Mapping[str, Any]) -> Any:  # Any: Ray's options, and its handle
        return actor.options(**options).remote(plan.spec, plan.deadline_s)

    return Route(plan.spec, Fleet(start, plan.workers, meters, plan.said), meters, plan.deadline_s, plan.start_s)


def route_to_parts(plan: Plan) -> Route:
    """Parts of the pool, each with its share of the workers. `plan.said` has to be known."""
    actor = ray.remote(Part)
    meters = Meters(plan.spec.env, in_parts=True)
    least, most = (math.ceil(count / plan.parts) for count in (plan.workers.least, plan.workers.most))
    share = replace(plan, workers=replace(plan.workers, least=least, most=most))

    def start(options: Mapping[str, Any]) -> Any:  # Any: Ray's options, and its handle
        return actor.options(**options).remote(share, strict=not fleet.batches)

    fleet = Fleet(start, Workers(plan.parts, plan.parts, {"CPU": 1}), meters, plan.said)
    return Route(plan.spec, fleet, meters, plan.deadline_s, plan.start_s, in_parts=True)


class Part:
    """A part of a pool on an actor. It joins and works like a worker, and has workers of its own."""

    def __init__(self, plan: Plan, *, strict: bool) -> None:
        self._plan, self._strict = plan, strict
        self._route = route_to_workers(plan)

    def where(self) -> Place:
        """Tells that the process is there, also before it has workers."""
        return replace(here(), problem="the workers of its own have found no room, or are not ready")

    def join(self) -> Place:
        """Joins once it has a worker, however long that takes: the pool goes on with the other parts."""
        fleet = self._route.fleet
        try:
            fleet.open(None, strict=self._strict)
        except ClarifyError as error:
            return replace(here(), problem=str(error))
        return replace(here(), threads=fleet.threads, said=fleet.said or "")

    def work(self, name: TaskName, pickled: bytes, more: bool) -> Worked[Any]:  # Any: the results of that task
        """The results of a chunk; with `more` waiting elsewhere, it starts more workers where there is room."""
        dispatch = Dispatch(self._route, TASKS[name], pickle.loads(pickled))
        results = dispatch.run(more=more)
        fleet = self._route.fleet
        # One thread where its last worker was just lost: another is on its way.
        state = PartState(len(fleet.members), max(1, fleet.threads), self._route.meters.take())
        return Worked(tuple(results), tuple(dispatch.seconds), part=state)

    def close(self) -> None:
        self._route.fleet.close()
