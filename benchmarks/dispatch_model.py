"""A simulated pool: the pool's own batches and chunk sizes, with a clock that jumps from event to event.

The driver is one process that sends, waits and takes in, one thing after another, at costs that were measured. What it
leaves out: lost actors, actors that join late, and what the network does beyond a constant delay.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from clarify_rl.pool.batch import Chunk, Ledger, Pace

AHEAD = 2  # as in clarify_rl/pool/dispatch.py, which imports Ray


@dataclass(frozen=True)
class Costs:
    """Seconds of the driver for a chunk, for each item in it, and for each chunk in flight when it waits."""

    chunk_s: float
    item_s: float
    ref_s: float
    delay_s: float = 0.0005  # between two processes


@dataclass
class FixedChunks(Pace):
    """Chunks of one size, whatever they cost."""

    size: int = 4

    def chunk_size(self, threads: int, all_threads: int, waiting: int) -> int:
        return self.size


@dataclass(frozen=True)
class SimulatedWorker:
    """A worker that works on a few items at once."""

    threads: int

    def seconds(self, items: Sequence[float]) -> float:
        free_at = [0.0] * self.threads
        for item in items:
            heapq.heapreplace(free_at, free_at[0] + item)
        return max(free_at)


def simulate(
    items: Sequence[float], members: Sequence[SimulatedWorker], costs: Costs, pace: Pace, *, one_by_one: bool = False
) -> float:
    """Seconds until all items are done. `one_by_one`: the driver takes in one chunk for each wait."""
    batch: Ledger[float] = Ledger(len(items))
    threads = sum(member.threads for member in members)
    free = deque(list(range(len(members))) * AHEAD)
    free_at = [0.0] * len(members)
    flights: list[tuple[float, int, Chunk]] = []  # when its results are here, whose, which
    now = 0.0
    while not batch.done:
        while batch.waiting and free:
            member = free.popleft()
            chunk = batch.take(pace.chunk_size(members[member].threads, threads, batch.waiting))
            now += costs.chunk_s / 2 + costs.item_s * len(chunk.items)
            begins = max(now + costs.delay_s, free_at[member])
            free_at[member] = begins + members[member].seconds([items[i] for i in chunk.items])
            heapq.heappush(flights, (free_at[member] + costs.delay_s, member, chunk))
        now = max(now + costs.ref_s * len(flights), flights[0][0])
        arrived = [heapq.heappop(flights)]
        while not one_by_one and flights and flights[0][0] <= now:
            arrived.append(heapq.heappop(flights))
        for _, member, chunk in arrived:
            now += costs.chunk_s / 2
            batch.finish(chunk, [0.0] * len(chunk.items))
            free.append(member)
    return now


def durations(count: int, mean_s: float) -> list[float]:
    """Seconds that users take, from half to one and a half of the mean."""
    chance = random.Random(0)
    return [mean_s * chance.uniform(0.5, 1.5) for _ in range(count)]
