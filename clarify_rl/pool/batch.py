"""Which items of a batch still wait, and what becomes of those whose worker was lost. Knows nothing of Ray."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from clarify_rl.pool.worker import Result

MOST_ROUNDS = 32  # items after each other in one chunk: what a lost worker costs stays small
DRIVER_SHARE = 0.25  # of the time that the workers need for all chunks in flight, this much may be the driver's


@dataclass(frozen=True)
class Chunk:
    """Indices of items that travel together. `again`: a worker was lost while it worked on them."""

    items: tuple[int, ...]
    again: bool = False


class Ledger(Generic[Result]):
    """The items of one call, by index. Each is done once, whatever happens to the workers."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._next = 0  # items from here on were never sent
        self._back: deque[Chunk] = deque()
        self._results: dict[int, Result] = {}

    @property
    def done(self) -> bool:
        return len(self._results) == self._size

    @property
    def waiting(self) -> int:
        """Items that no worker has."""
        return self._size - self._next + sum(len(chunk.items) for chunk in self._back)

    @property
    def results(self) -> list[Result]:
        return [self._results[i] for i in range(self._size)]

    @property
    def tries_again(self) -> bool:
        """Whether the next chunk is one that a worker was lost over."""
        return bool(self._back) and self._back[0].again

    def take(self, size: int) -> Chunk:
        """Up to `size` items that wait. Only where `waiting` is above 0."""
        if self._back:
            return self._back.popleft()
        first, self._next = self._next, min(self._size, self._next + size)
        return Chunk(tuple(range(first, self._next)))

    def finish(self, chunk: Chunk, results: Sequence[Result]) -> None:
        self._results.update(zip(chunk.items, results, strict=True))

    def put_back(self, chunk: Chunk) -> None:
        """For a chunk that its worker had not begun: it is not to blame for the loss."""
        self._back.append(chunk)

    def try_again(self, chunk: Chunk, unmeasured: Callable[[int], Result]) -> int:
        """Sends each item of a lost chunk once more, alone, since one of them may be the cause; how many wait again.

        What is lost a second time is `unmeasured`.
        """
        if chunk.again:
            self.finish(chunk, [unmeasured(i) for i in chunk.items])
            return 0
        self._back.extend(Chunk((i,), again=True) for i in chunk.items)
        return len(chunk.items)

    def give_up(self, unmeasured: Callable[[int], Result]) -> int:
        """Ends the batch: every item without a result is `unmeasured`; returns how many."""
        missing = [i for i in range(self._size) if i not in self._results]
        self._results.update((i, unmeasured(i)) for i in missing)
        return len(missing)


@dataclass
class Pace:
    """What a chunk costs the driver (as benchmarks/env_scaling.py measures), and an item a worker: a running mean."""

    chunk_s: float = 0.0003
    item_s: float | None = None

    def chunk_size(self, threads: int, all_threads: int, waiting: int) -> int:
        """Items for a worker with `threads`: as few as balance best, unless the driver would then be the limit.

        With k items a chunk, all workers together ask for all_threads / (k * item_s) chunks a second. Never more than
        half of a worker's fair share of what waits.
        """
        if self.item_s is None:
            return threads
        rounds = math.ceil(all_threads * self.chunk_s / (DRIVER_SHARE * max(self.item_s, 1e-6) * threads))
        fair = waiting // (2 * all_threads)
        return threads * max(1, min(rounds, fair, MOST_ROUNDS))

    def saw_items(self, seconds: Sequence[float]) -> None:
        if not seconds:  # of a process that stood still for a whole deadline before it began
            return
        mean = sum(seconds) / len(seconds)
        self.item_s = mean if self.item_s is None else 0.9 * self.item_s + 0.1 * mean
