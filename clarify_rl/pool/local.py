"""The pool in this process: the same worker without Ray, for debugging and small runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from clarify_rl.pool.deadlines import work_on
from clarify_rl.pool.worker import SCORE, PoolSpec, Worker, no_answer
from clarify_rl.types import Episode, Exchange, Response, Score

MOST_LATE = 3  # episodes whose rewards were late, with none in time: then nobody is asked any more


class LocalPool:
    """One worker here. An environment has no deadline, since it may wait for a person; the rewards of an episode do."""

    def __init__(self, spec: PoolSpec, deadline_s: float = 120.0) -> None:
        self._spec, self._deadline_s = spec, deadline_s
        self._worker = Worker(spec)

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        threads = min(self._worker.threads, len(exchanges))
        if threads <= 1:
            return [self._worker.respond(exchange) for exchange in exchanges]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._worker.respond, exchanges))

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        scores: list[tuple[Score, ...]] = []
        threads, late = self._worker.scoring_threads, 0
        while len(scores) < len(episodes):  # no item is begun after a whole deadline, so it may take several calls
            rest = episodes[len(scores) :]
            worked = work_on(rest, self._worker.score, self._late, threads=threads, deadline_s=self._deadline_s)
            scores += worked.results
            late += worked.hung
            if late == len(scores) >= MOST_LATE:  # the others would take a deadline each, and hours together
                return scores + [self._late(episode, ", as for all before it") for episode in episodes[late:]]
        return scores

    def _late(self, episode: Episode, more: str = "") -> tuple[Score, ...]:
        return SCORE.unmeasured(no_answer(SCORE, self._spec, episode, self._deadline_s, more))

    def describe(self) -> str:
        return self._worker.describe()

    def numbers(self) -> Mapping[str, float]:
        return {}

    def close(self) -> None:
        self._worker.close()
