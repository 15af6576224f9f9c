"""Many items at once on Ray's actors, in order: what parallel.in_order does with threads, on all machines of a Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

import ray
from ray.exceptions import RayError

from clarify_rl.pool.connection import join_ray, leave_ray

Item = TypeVar("Item")
Made = TypeVar("Made")
Given = TypeVar("Given", contravariant=True)
Result = TypeVar("Result", covariant=True)

AHEAD = 8  # items begun for each actor while one that is due first still runs
_RESTARTS = 3  # of an actor that is lost, which then begins its item again
_CLOSING_S = 10.0


class Work(Protocol[Given, Result]):
    """What an actor does with each item; `close` frees what it holds."""

    def __call__(self, item: Given, /) -> Result: ...

    def close(self) -> None: ...


class _Actor(Generic[Item, Made]):
    def __init__(self, start: Callable[[], Work[Item, Made]]) -> None:
        self._work = start()

    def work(self, item: Item) -> Made:
        return self._work(item)

    def close(self) -> None:
        self._work.close()


def in_order_on_ray(start: Callable[[], Work[Item, Made]], items: Iterable[Item], actors: int) -> Iterator[Made]:
    """What the work that `start` begins in each of so many actors makes of each item, in the items' order.

    Items are taken as they are needed, so memory stays flat. On the Ray of RAY_ADDRESS, or one of this machine. What
    the work raises is raised here.
    """
    joined = join_ray({"CPU": actors})
    remote = ray.remote(num_cpus=1, max_restarts=_RESTARTS, max_task_retries=_RESTARTS)(_Actor)
    free: list[Any] = [remote.remote(start) for _ in range(actors)]  # Any: Ray's handles
    everyone = tuple(free)
    busy: dict[Any, Any] = {}  # what was begun, by who does it
    begun: deque[Any] = deque()
    waiting = iter(items)
    try:
        more = True
        while more or begun:
            while more and free and len(begun) < AHEAD * actors:
                try:
                    item = next(waiting)
                except StopIteration:
                    more = False
                    break
                actor = free.pop()
                begun.append(actor.work.remote(item))
                busy[begun[-1]] = actor
            if busy:
                done, _ = ray.wait(list(busy), num_returns=1)
                free += [busy.pop(reference) for reference in done]
            while begun and begun[0] not in busy:
                yield ray.get(begun.popleft())
    finally:
        _end(everyone)
        if joined:
            leave_ray()


def _end(actors: Iterable[Any]) -> None:  # Any: Ray's handles
    """Lets the actors free what they hold, where they still can."""
    with suppress(RayError):
        ray.get([actor.close.remote() for actor in actors], timeout=_CLOSING_S)
    for actor in actors:
        ray.kill(actor)
