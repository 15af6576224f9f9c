"""The pool in this process: the same worker without Ray, for debugging and small runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from clarify_rl.pool.worker import PoolSpec, Worker
from clarify_rl.types import Episode, Exchange, Response, Score


class LocalPool:
    """One worker here. No deadlines: an environment may wait for a person, or stand in a debugger."""

    def __init__(self, spec: PoolSpec) -> None:
        self._worker = Worker(spec)

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        threads = min(self._worker.threads, len(exchanges))
        if threads <= 1:
            return [self._worker.respond(exchange) for exchange in exchanges]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._worker.respond, exchanges))

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return [self._worker.score(episode) for episode in episodes]

    def describe(self) -> str:
        return self._worker.describe()

    def numbers(self) -> Mapping[str, float]:
        return {}

    def close(self) -> None:
        self._worker.close()
