"""The pool on Ray: environments on actors, and every call a batch that is sent through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from clarify_rl.pool.connection import join_ray, leave_ray
from clarify_rl.pool.dispatch import Dispatch, Route
from clarify_rl.pool.parts import Plan, parts_for, route_to_parts, route_to_workers
from clarify_rl.pool.worker import RESPOND, SCORE, PoolSpec, Workers
from clarify_rl.types import Episode, Exchange, Response, Score


class RayPool:
    """Environments on Ray actors, as many as there is room and work for; the same results as in one process.

    A lost actor or node costs only what it was working on, which is done once more elsewhere. Starts a local Ray unless
    one is connected or RAY_ADDRESS names one; `close` stops only what was started, once no other pool uses it. The
    first worker may take `start_s` to join: a machine may have to be started for it. A large pool is driven in `parts`,
    by default by its size.
    """

    def __init__(
        self,
        spec: PoolSpec,
        *,
        workers: int | Workers,
        deadline_s: float = 120.0,
        start_s: float = 120.0,
        parts: int | None = None,
    ) -> None:
        wanted = Workers(workers, workers) if isinstance(workers, int) else workers
        plan = Plan(spec, wanted, deadline_s, start_s, parts or parts_for(wanted.most))
        self._connected = join_ray(_wanted(plan))
        try:
            self._route = _open(plan)
        except BaseException:
            self._leave_ray()
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


def _open(plan: Plan) -> Route:
    if plan.parts == 1:
        return _opened(route_to_workers(plan), plan.start_s)
    # One worker says where environments run, so that no part takes it from an odd node of its own.
    probe = _opened(route_to_workers(replace(plan, workers=replace(plan.workers, least=1, most=1))), plan.start_s)
    probe.fleet.close()
    return _opened(route_to_parts(replace(plan, said=probe.fleet.said)), 2 * plan.start_s)


def _opened(route: Route, start_s: float) -> Route:
    try:
        route.fleet.open(start_s)
    except BaseException:
        route.fleet.close()
        raise
    return route


def _wanted(plan: Plan) -> dict[str, float]:
    """What the workers ask for together, and the parts that drive them."""
    wanted = {name: amount * plan.workers.most for name, amount in plan.workers.resources.items()}
    return {**wanted, "CPU": wanted.get("CPU", 0.0) + (plan.parts if plan.parts > 1 else 0)}
