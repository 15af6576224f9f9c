"""Many items at once, in order, with no more of them in memory than are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

AHEAD = 8  # items begun for each thread while one that is due first still runs


def in_order(work: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """What `work` makes of each item, in the items' order, whatever the number of threads; taken as needed."""
    pool = ThreadPoolExecutor(threads)
    begun: deque[Future[Made]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            while begun and (begun[0].done() or len(begun) >= AHEAD * threads):
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
        pool.shutdown()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
