"""The actors of a pool: they start where there is room, join when they are fit, and are replaced when they are lost.

Looked after while a batch runs; between batches nothing happens, so that a pause for an update releases nothing.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from clarify_rl.errors import ClarifyError
from clarify_rl.pool.actor import Place
from clarify_rl.pool.batch import Chunk
from clarify_rl.pool.meters import Meters
from clarify_rl.pool.worker import Workers

LOG = logging.getLogger("clarify_rl.pool")
QUIET_S = 3.0  # once a worker has joined, the start waits no longer than this for the next one
PATIENCE_S = 1.0  # items that wait so long are a backlog: a new worker takes about as long to start
IDLE_BATCHES = 10  # a worker beyond `least` that so many batches did not need is released
MOST_DEATHS = 3  # of workers while they start, before the start of the pool gives up


@dataclass
class Flight:
    """A chunk that a member has."""

    chunk: Chunk
    ref: Any  # Any: Ray's object reference


@dataclass(eq=False)
class Member:
    """An actor that has joined. Its flights end in their order, so the oldest is the one that it works on."""

    handle: Any  # Any: Ray's handles have no methods
    place: Place
    threads: int
    flights: deque[Flight] = field(default_factory=deque)
    since: float = 0.0  # when the oldest flight began
    last_batch: int = 0
    leaving: bool = False  # it gets no more chunks: one of its threads hangs, or it is gone


@dataclass(frozen=True)
class _Newcomer:
    handle: Any  # Any: as above
    batch: int
    where: Any  # Any: Ray's reference to its Place, which is there once its process has started


class Fleet:
    """The members, and those on their way. `start` makes an actor with Ray's options.

    `said` is what all environments have to say about where they run, which is what the first one says.
    """

    def __init__(self, start: Callable[[Mapping[str, Any]], Any], workers: Workers, meters: Meters) -> None:
        self._start_actor, self._workers, self._meters = start, workers, meters
        self.members: list[Member] = []
        self.said: str | None = None
        self.threads = 0  # of all members together
        self._joining: dict[Any, _Newcomer] = {}  # Any: Ray's object references
        self._refused: dict[str, str] = {}  # node id -> why
        self._fit: set[str] = set()  # ids of nodes on which a worker has joined
        self.batches = 0  # that it has begun
        self._last_death = ""
        self._deaths = 0  # one after another, of workers that had not joined yet
        self._not_before = 0.0

    @property
    def joining(self) -> Collection[Any]:  # Any: Ray's object references
        return self._joining.keys()

    def open(self, start_s: float) -> None:
        """Waits until the least number of workers has joined, or no more find room.

        Raises ClarifyError: no worker joined within `start_s`, or a node is unfit or unlike the others.
        """
        self._start(self._workers.least)
        deadline = time.monotonic() + start_s
        while self._joining and self._deaths < MOST_DEATHS:
            patience = QUIET_S if self.members else max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(list(self._joining), timeout=patience)
            if not ready:
                break
            self.admit(ready[0])
            if self._refused:
                raise ClarifyError(self._why_refused())
            self._start(self._workers.least - len(self.members) - len(self._joining))
        if not self.members:
            raise ClarifyError(f"{self.why_empty()} Try env.workers=0 to see it in one process.")
        if missing := self._workers.least - len(self.members):
            LOG.warning(
                "%d of %d environment workers found room; %d join when there is more.",
                len(self.members), self._workers.least, missing,
            )  # fmt: skip

    def begin_batch(self) -> None:
        """Drops members whose node is gone or who work on what nobody waits for, and those not needed for long."""
        self.batches += 1
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for member in [m for m in self.members if m.place.node_id not in alive]:
            self.remove(member, lost="its node is gone")
        for member in [m for m in self.members if m.flights]:
            self.remove(member, lost="its batch was interrupted")
        idle_since = self.batches - IDLE_BATCHES
        for ref in [ref for ref, newcomer in self._joining.items() if newcomer.batch < idle_since]:
            if self._size > self._workers.least:
                ray.kill(self._joining.pop(ref).handle)
        for member in [m for m in self.members[::-1] if m.last_batch < idle_since]:
            if self._size > self._workers.least:
                self.remove(member)
        self.grow(backlog=False)

    def use(self, member: Member) -> None:
        member.last_batch = self.batches

    def grow(self, *, backlog: bool) -> None:
        """Starts what is missing: up to `least`, and with a backlog as many again as there are, up to `most`."""
        missing = self._workers.least - self._size
        if backlog:
            again = max(1, len(self.members)) - len(self._joining)
            missing = max(missing, min(self._workers.most - self._size, again))
        if time.monotonic() >= self._not_before:
            self._start(missing)

    def admit(self, ref: Any) -> Member | None:  # Any: Ray's object reference
        """The member that a newcomer becomes, or None: it died, or its node is unlike the others and is refused."""
        newcomer = self._joining.pop(ref)
        try:
            place: Place = ray.get(ref)
        except RayError as error:
            self._count_death(reason(error))
            return None
        if place.problem and place.node_id in self._fit:  # it is not the node's fault, and may pass
            ray.kill(newcomer.handle)
            self._count_death(place.problem)
            return None
        self._deaths = 0
        if why := self._objection(place):
            self._refuse(newcomer, place, why)
            return None
        if self.said is None:
            self.said = place.said
        member = Member(newcomer.handle, place, place.threads, last_batch=self.batches)
        self.members.append(member)
        self._fit.add(place.node_id)
        self._count_members()
        return member

    def _count_members(self) -> None:
        self.threads = sum(member.threads for member in self.members)
        self._meters.set_actors(len(self.members))

    def remove(self, member: Member, *, lost: str = "") -> None:
        """Ends an actor. `lost` says why when it was lost: that is counted, and `grow` replaces it."""
        self.members.remove(member)
        self._count_members()
        member.leaving = True
        ray.kill(member.handle)
        if lost:
            LOG.warning("Environment worker lost: %s: %s.", member.place, lost)
            self._meters.lost_actor()

    def why_empty(self) -> str:
        """Why there is no member: refused nodes, workers that died or do not get ready, or no room."""
        if self._refused:
            return self._why_refused()
        if self._deaths:
            return f"The environment workers died {self._deaths} times while they started: {self._last_death}."
        needs, has = self._workers.resources, ray.available_resources()
        asks = ", ".join(f"{name}: {amount:g}" for name, amount in needs.items())
        free = ", ".join(f"{name}: {has.get(name, 0.0):g}" for name in needs)
        if started := self._started():
            first = started[0]
            return (
                f"{len(started)} environment workers have started, but none is ready: {first.problem}, e.g. in "
                f"{first}. Ray has {{{free}}} free."
            )
        return (
            f"No environment worker found room: each asks for {{{asks}}} (env.worker_resources), and Ray has "
            f"{{{free}}} free. Add nodes, or ask for less."
        )

    def close(self) -> None:
        """Lets the environments free what they hold, and ends all actors."""
        goodbyes = [member.handle.close.remote() for member in self.members]
        if goodbyes:
            ray.wait(goodbyes, num_returns=len(goodbyes), timeout=2.0)
        for member in self.members:
            ray.kill(member.handle)
        for newcomer in self._joining.values():
            ray.kill(newcomer.handle)
        self.members, self._joining = [], {}

    @property
    def _size(self) -> int:
        return len(self.members) + len(self._joining)

    def _started(self) -> list[Place]:
        """Where newcomers are that have a process and have not joined."""
        refs = [newcomer.where for newcomer in self._joining.values()]
        places = []
        for ref in ray.wait(refs, num_returns=len(refs), timeout=0)[0] if refs else ():
            with suppress(RayError):  # it has died since
                places.append(ray.get(ref))
        return places

    def _start(self, count: int) -> None:
        for _ in range(count):
            handle = self._start_actor(self._options())
            where = handle.where.remote()
            self._joining[handle.join.remote()] = _Newcomer(handle, self.batches, where)

    def _options(self) -> dict[str, Any]:  # Any: Ray's own options
        """Ray's options of an actor. It is not restarted by Ray: a new one has to join like any other."""
        own = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        needs = self._workers.resources
        options: dict[str, Any] = {own[name]: amount for name, amount in needs.items() if name in own}
        options["resources"] = {name: amount for name, amount in needs.items() if name not in own}
        if self._refused:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._refused)})"}
        return {"num_cpus": 0, **options, "max_restarts": 0, "scheduling_strategy": "SPREAD"}

    def _objection(self, place: Place) -> str:
        if place.problem:
            return place.problem
        if (
            self.said is not None and place.said != self.said
        ):  # rewards from machines unlike each other are not one experiment
            return f"{place.said!r}, while the others say {self.said!r}"
        return ""

    def _refuse(self, newcomer: _Newcomer, place: Place, why: str) -> None:
        ray.kill(newcomer.handle)
        if place.node_id not in self._refused:
            self._refused[place.node_id] = f"{place.node}: {why}"
            self._meters.refused_node()
            LOG.warning("No environment worker runs on node %s: %s.", place.node, why)

    def _why_refused(self) -> str:
        return f"Nodes that cannot have environment workers: {'; '.join(self._refused.values())}."

    def _count_death(self, why: str) -> None:
        self._deaths += 1
        self._last_death = why
        self._not_before = time.monotonic() + min(60.0, 2.0 ** (self._deaths - 1))
        LOG.warning("An environment worker died while it started: %s.", self._last_death)
        self._meters.lost_actor()


def reason(error: Exception | None) -> str:
    """One line of what Ray says at length: the exception that was raised there, or else what befell the process."""
    lines = str(error).strip().splitlines() or ["no reason given"]
    raised = "ray::" in lines[0]  # a traceback from the other process follows
    return lines[-1].strip() if raised else f"{type(error).__name__}: {lines[0]}"
