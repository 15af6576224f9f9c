"""What a pool counts: `pool/...` in metrics.jsonl, and `clarify_...` on Ray's dashboard and in Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ray.util.metrics import Counter, Gauge, Histogram

BOUNDARIES_S = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]


class Cause(StrEnum):
    """Why the pool could not measure an item."""

    HUNG = "hung"
    LOST = "lost"
    NO_WORKER = "no_worker"


@dataclass
class _Tally:
    """Sums since the numbers were last asked for."""

    exchanges: int = 0
    failed: int = 0
    sent_again: int = 0
    lost_actors: int = 0
    work_s: float = 0.0
    thread_s: float = 0.0
    respond_s: float = 0.0
    driver_s: float = 0.0


class _Dashboard:
    """Ray's metrics. Each is tagged with the environment's name."""

    def __init__(self, env: str) -> None:
        tags = ("env",)
        self.tags = {"env": env}
        self.exchanges = Counter("clarify_exchanges", "Replies that environments reacted to.", tags)
        self.episodes = Counter("clarify_episodes", "Episodes that were scored.", tags)
        self.failures = Counter("clarify_failures", "Items that the pool could not measure.", ("env", "fault"))
        self.restarts = Counter("clarify_restarts", "Environment workers that were lost.", tags)
        self.sent_again = Counter("clarify_sent_again", "Items sent once more after their worker was lost.", tags)
        self.in_flight = Gauge("clarify_in_flight", "Items that environment workers have now.", tags)
        self.waiting = Gauge("clarify_waiting", "Items that no environment worker has yet.", tags)
        self.actors = Gauge("clarify_actors", "Environment workers that take items.", tags)
        self.respond_s = Histogram(
            "clarify_respond_seconds", "Seconds an environment takes for a reply.", BOUNDARIES_S, tags
        )


class Meters:
    """Counts for both readers at once."""

    def __init__(self, env: str) -> None:
        self._board = _Dashboard(env)
        self._actors = self._refused = 0
        self._tally = _Tally()

    def responded(self, seconds: Sequence[float]) -> None:
        self._tally.exchanges += len(seconds)
        self._tally.respond_s += sum(seconds)
        board = self._board
        board.exchanges.inc(len(seconds), board.tags)
        for duration_s in seconds:
            board.respond_s.observe(duration_s, board.tags)

    def scored(self, count: int) -> None:
        if count:
            self._board.episodes.inc(count, self._board.tags)

    def failed(self, fault: Cause, count: int = 1) -> None:
        self._tally.failed += count
        if count:
            self._board.failures.inc(count, {**self._board.tags, "fault": fault.value})

    def sent_again(self, count: int) -> None:
        self._tally.sent_again += count
        if count:
            self._board.sent_again.inc(count, self._board.tags)

    def lost_actor(self) -> None:
        self._tally.lost_actors += 1
        board = self._board
        board.restarts.inc(1, board.tags)

    def refused_node(self) -> None:
        self._refused += 1

    def set_actors(self, count: int) -> None:
        self._actors = count
        board = self._board
        board.actors.set(count, board.tags)

    def set_queue(self, waiting: int, in_flight: int) -> None:
        board = self._board
        board.waiting.set(waiting, board.tags)
        board.in_flight.set(in_flight, board.tags)

    def batch(self, *, work_s: float, thread_s: float, driver_s: float) -> None:
        """A finished batch: seconds of work, seconds that threads were there for it, seconds that the driver worked."""
        self._tally.work_s += work_s
        self._tally.thread_s += thread_s
        self._tally.driver_s += driver_s

    def take(self) -> dict[str, float]:
        """The numbers since they were last taken, by their paths in metrics.jsonl; what nothing tells is left out."""
        tally, self._tally = self._tally, _Tally()
        numbers: dict[str, float | None] = {
            "pool/actors": float(self._actors),
            "pool/lost_actors": float(tally.lost_actors),
            "pool/refused_nodes": float(self._refused),
            "pool/sent_again": float(tally.sent_again),
            "pool/failed": float(tally.failed),
            "pool/respond_s": tally.respond_s / tally.exchanges if tally.exchanges else None,
            "pool/busy": tally.work_s / tally.thread_s if tally.thread_s else None,
            "pool/driver_s": tally.driver_s,
        }
        return {name: value for name, value in numbers.items() if value is not None}
