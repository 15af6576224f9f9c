"""Where episodes' environments live: in this process (`LocalPool`), or on Ray actors (`ray_pool.RayPool`).

A worker's failure is data: it comes back as a failed response (or an unmeasured score) for its own episodes only.
"""

from __future__ import annotations

from clarify_rl.pool.local import LocalPool
from clarify_rl.pool.worker import PoolSpec, RewardSpec, Worker, Workers
from clarify_rl.types import Pool

__all__ = ["LocalPool", "PoolSpec", "RewardSpec", "Worker", "Workers", "make_pool"]


def make_pool(spec: PoolSpec, *, workers: int | Workers | None, deadline_s: float = 120.0) -> Pool:
    """A pool of Ray actors, or without workers one environment in this process."""
    if not workers:
        return LocalPool(spec, deadline_s)
    from clarify_rl.pool.ray_pool import RayPool

    return RayPool(spec, workers=workers, deadline_s=deadline_s)
