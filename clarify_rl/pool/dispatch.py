"""One batch on its way through the fleet: chunks out to whoever is free, results back, until every item has one."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import ray
from ray.exceptions import RayActorError, RayError

from clarify_rl.pool.actor import Place
from clarify_rl.pool.batch import Chunk, Ledger, Pace
from clarify_rl.pool.deadlines import Worked
from clarify_rl.pool.fleet import PATIENCE_S, Fleet, Flight, Member, reason
from clarify_rl.pool.meters import Cause, Meters
from clarify_rl.pool.worker import Item, PoolSpec, Result, Task, no_answer

AHEAD = 2  # chunks that a worker has at once: the one it works on, and the next
GRACE_S = 5.0  # actors watch the deadlines of items themselves: so late, an actor cannot even do that
ANSWER_S = 10.0  # an idle worker that does not answer for so long is lost
TICK_S = 1.0  # between looks at what is late or missing


@dataclass(frozen=True)
class Route:
    """What dispatches of one pool share. `paces` holds what items cost so far, by task.

    A batch that has no worker at all waits `start_s` for one.
    """

    spec: PoolSpec
    fleet: Fleet
    meters: Meters
    deadline_s: float
    start_s: float
    paces: dict[str, Pace] = field(default_factory=dict)


class Dispatch(Generic[Item, Result]):
    """Work of `task` on all items. Seeds derive from ids, so an item gives the same result wherever it is done."""

    def __init__(self, route: Route, task: Task[Item, Result], items: Sequence[Item]) -> None:
        self._fleet, self._meters, self._route = route.fleet, route.meters, route
        self._task, self._items = task, items
        self._pace = route.paces.setdefault(task.name, Pace())
        self._batch: Ledger[Result] = Ledger(len(items))
        self._flights: dict[Any, Member] = {}  # Any: Ray's object references
        self._free: deque[Member] = deque()  # once for every chunk that a member may have besides those it has
        self._started = self._looked = self._manned = time.monotonic()
        self.seconds: list[float] = [0.0] * len(items)  # that each item took
        self._waited_s = 0.0

    def run(self) -> list[Result]:
        """Results in the order of the items."""
        self._fleet.begin_batch()
        for _ in range(AHEAD):
            self._free.extend(self._fleet.members)
        while not self._batch.done:
            self._send()
            self._take_in(self._ready())
            self._look()
        now = time.monotonic()
        self._meters.set_queue(0, 0)
        self._meters.batch(
            work_s=sum(self.seconds),
            thread_s=(now - self._started) * self._fleet.threads,
            driver_s=now - self._started - self._waited_s,
        )
        return self._batch.results

    def _send(self) -> None:
        for _ in range(len(self._free)):
            if not self._batch.waiting:
                return
            member = self._free.popleft()
            if member.leaving:
                continue
            if not self._suits(member):
                self._free.append(member)
                continue
            if self._batch.tries_again and (error := self._silence(member)):
                self._lose(member, Cause.LOST, error)
                continue
            size = self._pace.chunk_size(member.threads, self._fleet.threads, self._batch.waiting)
            chunk = self._batch.take(size)
            # Pickled here, once: Ray's own pickler takes far longer over many small dataclasses.
            pickled = pickle.dumps([self._items[i] for i in chunk.items], pickle.HIGHEST_PROTOCOL)
            ref = member.handle.work.remote(self._task.name, pickled)
            if not member.flights:
                member.since = time.monotonic()
            member.flights.append(Flight(chunk, ref))
            self._flights[ref] = member
            self._fleet.use(member)

    def _suits(self, member: Member) -> bool:
        """Whether a member may have the next chunk: what is tried again is the only one there.

        A worker that dies over one item may take the result of the one before along, which is on its way only.
        """
        again = self._batch.tries_again or any(flight.chunk.again for flight in member.flights)
        return not (again and member.flights)

    def _silence(self, member: Member) -> RayError | None:
        """Why a member that may get a second try is dead already, if it is: the item is not to blame for that.

        Workers are lost together, with their node, and Ray takes a while to say so of each.
        """
        try:
            ray.get(member.handle.where.remote(), timeout=ANSWER_S)
        except RayError as error:
            return error
        return None

    def _ready(self) -> list[Any]:  # Any: Ray's object references
        """What has come in, after at most a tick."""
        before = time.monotonic()
        refs = [*self._flights, *self._fleet.joining]
        if not refs:
            time.sleep(TICK_S)
        ready = ray.wait(refs, timeout=TICK_S)[0] if refs else []
        self._waited_s += time.monotonic() - before
        # All that came in meanwhile at once: with many flights each wait is dear.
        return ray.wait(refs, num_returns=len(refs), timeout=0)[0] if ready and len(refs) > 1 else ready

    def _take_in(self, refs: Iterable[Any]) -> None:  # Any: Ray's object references
        for ref in refs:
            if member := self._flights.get(ref):
                self._land(member, ref)
            elif ref in self._fleet.joining and (newcomer := self._fleet.admit(ref)):
                self._free.extend([newcomer] * AHEAD)

    def _land(self, member: Member, ref: Any) -> None:  # Any: Ray's object reference
        """Takes in one chunk's results, or finds out that its actor is lost."""
        flight = next(candidate for candidate in member.flights if candidate.ref == ref)
        try:
            worked: Worked[Result] = ray.get(ref)
        except RayActorError as error:
            self._lose(member, Cause.LOST, error)
            return
        except RayError as error:  # the chunk's own, e.g. a response that cannot be sent; the actor is well
            self._forget(member, flight)
            self._try_again(flight.chunk, Cause.LOST, member.place, error)
        else:
            self._forget(member, flight)
            self._finish(member, flight.chunk, worked)
        if not member.leaving:
            self._free.append(member)
        elif not member.flights:
            self._replace(member, "an environment or reward hangs there")

    def _forget(self, member: Member, flight: Flight) -> None:
        del self._flights[flight.ref]
        member.flights.remove(flight)
        member.since = time.monotonic()

    def _finish(self, member: Member, chunk: Chunk, worked: Worked[Result]) -> None:
        done = len(worked.results)
        self._batch.finish(Chunk(chunk.items[:done]), worked.results)
        if rest := chunk.items[done:]:
            self._batch.put_back(Chunk(rest, chunk.again))
        member.leaving = member.leaving or worked.hung > 0
        self._meters.failed(Cause.HUNG, worked.hung)
        for i, seconds in zip(chunk.items, worked.seconds, strict=False):
            self.seconds[i] = seconds
        self._pace.saw_items(worked.seconds)
        if self._task.name == "respond":
            self._meters.responded(worked.seconds)
        else:
            self._meters.scored(done)

    def _lose(self, member: Member, fault: Cause, error: Exception | None = None) -> None:
        """Saves what a lost actor had finished. What it worked on is tried again, what it had not begun waits again."""
        begun = True
        for flight in list(member.flights):
            self._forget(member, flight)
            try:
                self._finish(member, flight.chunk, ray.get(flight.ref, timeout=0))
            except RayError:
                if begun:
                    self._try_again(flight.chunk, fault, member.place, error)
                else:
                    self._batch.put_back(flight.chunk)
                begun = False
        self._replace(member, "it stood still" if error is None else reason(error))

    def _replace(self, member: Member, why: str) -> None:
        self._fleet.remove(member, lost=why)
        self._fleet.grow(backlog=False)

    def _try_again(self, chunk: Chunk, fault: Cause, place: Place, error: Exception | None) -> None:
        def unmeasured(i: int) -> Result:
            self._meters.failed(fault)
            return self._task.unmeasured(self._why(self._items[i], fault, place, error))

        self._meters.sent_again(self._batch.try_again(chunk, unmeasured))

    def _why(self, item: Item, fault: Cause, place: Place, error: Exception | None) -> str:
        if fault is Cause.HUNG:
            return no_answer(self._task, self._route.spec, item, self._route.deadline_s, f" on {place}")
        return (
            f"{self._task.plugins(self._route.spec)} lost its worker twice for episode {self._task.episode_id(item)}, "
            f"the second time alone on {place}: {reason(error)}"
        )

    def _look(self) -> None:
        """Once a tick: is a worker late, is one missing, is there any at all?"""
        now = time.monotonic()
        if now - self._looked < TICK_S:
            return
        self._looked = now
        for member in list(self._fleet.members):
            if member.flights and now - member.since > 2 * self._route.deadline_s + GRACE_S:  # it begins none after one
                self._lose(member, Cause.HUNG)
        waiting = self._batch.waiting
        self._fleet.grow(backlog=waiting > 0 and now - self._started > PATIENCE_S)
        self._meters.set_queue(
            waiting, sum(len(flight.chunk.items) for m in self._fleet.members for flight in m.flights)
        )
        if self._fleet.members:
            self._manned = now
        elif now - self._manned > self._route.start_s:
            why = self._fleet.why_empty()
            self._meters.failed(Cause.NO_WORKER, self._batch.give_up(lambda _: self._task.unmeasured(why)))
