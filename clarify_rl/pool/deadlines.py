"""Items worked on by a few threads, each with a deadline of its own."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from clarify_rl.pool.worker import Item, Result


@dataclass(frozen=True)
class Worked(Generic[Result]):
    """Results in the order of the items, the seconds that each took, and how many threads hang in one that was late.

    Of a chunk that took a whole deadline, only the first items have results; the others were not begun.
    """

    results: tuple[Result, ...]
    seconds: tuple[float, ...]
    hung: int = 0


def work_on(
    items: Sequence[Item],
    do: Callable[[Item], Result],
    late: Callable[[Item], Result],
    *,
    threads: int,
    deadline_s: float,
) -> Worked[Result]:
    """What `do` makes of each item; `late` speaks for an item that takes longer, and its thread is left behind.

    An item's time begins when a thread takes it up, so that no item pays for those before it. None is taken up after
    the first `deadline_s`, so that the whole ends within two.
    """
    return _Crew(items, do, late, deadline_s).work(threads)


class _Crew(Generic[Item, Result]):
    """The threads, and what they have done. All fields are read and changed under `_changed`."""

    def __init__(
        self, items: Sequence[Item], do: Callable[[Item], Result], late: Callable[[Item], Result], deadline_s: float
    ) -> None:
        self._items, self._do, self._late, self._deadline_s = items, do, late, deadline_s
        self._todo = deque(range(len(items)))
        self._began: dict[int, float] = {}
        self._results: dict[int, Result] = {}
        self._seconds: dict[int, float] = {}
        self._hung = 0
        self._until = time.monotonic() + deadline_s
        self._changed = threading.Condition()

    def work(self, threads: int) -> Worked[Result]:
        for _ in range(min(threads, len(self._items))):
            self._hire()
        with self._changed:
            while self._began or not self._over():
                due = min(self._began.values(), default=math.inf) + self._deadline_s
                self._changed.wait(None if due == math.inf else max(0.0, due - time.monotonic()))
                self._give_up_late()
            begun = range(len(self._results))
            return Worked(tuple(self._results[i] for i in begun), tuple(self._seconds[i] for i in begun), self._hung)

    def _over(self) -> bool:
        """Whether no thread takes up another item."""
        return not self._todo or time.monotonic() > self._until

    def _hire(self) -> None:
        threading.Thread(target=self._labour, daemon=True).start()

    def _labour(self) -> None:
        while True:
            with self._changed:
                if self._over():
                    self._changed.notify()
                    return
                i = self._todo.popleft()
                self._began[i] = time.monotonic()
                self._changed.notify()
            result = self._do(self._items[i])
            with self._changed:
                if i in self._results:  # it came too late: another thread has taken this one's place
                    return
                self._settle(i, result)

    def _settle(self, i: int, result: Result) -> None:
        self._seconds[i] = time.monotonic() - self._began.pop(i)
        self._results[i] = result
        self._changed.notify()

    def _give_up_late(self) -> None:
        now = time.monotonic()
        for i in [i for i, began in self._began.items() if now - began >= self._deadline_s]:
            self._settle(i, self._late(self._items[i]))
            self._hung += 1
            self._hire()
