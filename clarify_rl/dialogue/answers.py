"""A pool that is asked while replies are still sampled: by a thread of its own, with all that waits at a time."""

from __future__ import annotations

import threading
from types import TracebackType

from clarify_rl.types import Exchange, Pool, ReplyKind, Response


class Answers:
    """Exchanges go in as they come, responses come out in any order, under the numbers that they came with.

    One call of the pool is under way at a time. Questions go first: somebody waits for their answers, while code ends
    its episode. What the pool raises is raised by the next `take`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._changed = threading.Condition()
        self._asked: dict[int, Exchange] = {}
        self._answered: dict[int, Response] = {}
        self._under_way = 0
        self._raised: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="answers", daemon=True)

    def __enter__(self) -> Answers:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if kind is None or issubclass(kind, Exception):  # an interrupt does not wait for programs
            self._thread.join()

    @property
    def waiting(self) -> bool:
        """Whether some exchange has no response that was taken."""
        with self._changed:
            return bool(self._asked or self._answered or self._under_way)

    def ask(self, number: int, exchange: Exchange) -> None:
        with self._changed:
            self._asked[number] = exchange
            self._changed.notify_all()

    def take(self, *, wait: bool) -> list[tuple[int, Response]]:
        """The responses that are there; with `wait`, at least one where any is to come."""
        with self._changed:
            while wait and not self._answered and self._raised is None and (self._asked or self._under_way):
                self._changed.wait()
            if self._raised is not None:
                raise self._raised
            taken, self._answered = list(self._answered.items()), {}
            return taken

    def _work(self) -> None:
        while asked := self._next():
            try:
                responses = self._pool.respond(list(asked.values()))
            except BaseException as error:  # it belongs to the thread that plays the episodes
                with self._changed:
                    self._raised = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._answered.update(zip(asked, responses, strict=True))
                self._under_way = 0
                self._changed.notify_all()

    def _next(self) -> dict[int, Exchange]:
        """All questions that wait, or else all the rest; nothing once it is closed."""
        with self._changed:
            while not self._asked and not self._closed:
                self._changed.wait()
            if self._closed:
                return {}
            questions = {at: asked for at, asked in self._asked.items() if asked.reply.kind is ReplyKind.QUESTION}
            taken = questions or self._asked
            self._asked = {at: asked for at, asked in self._asked.items() if at not in taken}
            self._under_way = len(taken)
            return taken
