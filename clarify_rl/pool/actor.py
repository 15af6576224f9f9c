"""What runs on a Ray actor: one worker, a deadline for each of its items, and where it is."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, replace
from typing import Any

import ray

from clarify_rl.pool.deadlines import Worked, work_on
from clarify_rl.pool.worker import TASKS, PoolSpec, TaskName, Worker, no_answer


@dataclass(frozen=True)
class Place:
    """Where an actor is, and what its environment says about that; `problem` is why it has no worker, "" if it has."""

    node: str
    node_id: str
    actor: str
    pid: int
    threads: int = 1
    said: str = ""
    problem: str = ""

    def __str__(self) -> str:
        return f"actor {self.actor[:8]} (pid {self.pid}) of node {self.node}"


def here() -> Place:
    """The place of the actor that asks."""
    context = ray.get_runtime_context()
    return Place(ray.util.get_node_ip_address(), context.get_node_id(), context.get_actor_id() or "", os.getpid())


class EnvActor:
    """A worker on a Ray actor. Items come in chunks, one chunk after another, in the order in which they were sent."""

    def __init__(self, spec: PoolSpec, deadline_s: float) -> None:
        self._spec, self._deadline_s = spec, deadline_s
        self._worker: Worker | None = None
        self._place: Place | None = None

    def where(self) -> Place:
        """Tells that the process is there, also before anything is built."""
        return replace(here(), problem="what it builds (the environment and the rewards) has not returned")

    def join(self) -> Place:
        """Builds the worker; what goes wrong is told with the node on which it went wrong."""
        self._place = here()
        try:
            self._worker = Worker(self._spec)
            self._place = replace(self._place, threads=self._worker.threads, said=self._worker.describe())
        except Exception as error:  # told to the driver, which refuses this node
            return replace(self._place, problem=f"{type(error).__name__}: {error}")
        return self._place

    def work(self, name: TaskName, pickled: bytes) -> Worked[Any]:  # Any: the results of that task
        """The results of a chunk of items. One past its deadline is unmeasured, and its thread stays behind."""
        worker, task = self._worker, TASKS[name]
        assert worker is not None

        def late(item: Any) -> object:  # Any: the items of that task
            return task.unmeasured(no_answer(task, self._spec, item, self._deadline_s, f" on {self._place}"))

        threads = worker.threads if name == "respond" else worker.scoring_threads
        items = pickle.loads(pickled)
        return work_on(items, lambda item: task.do(worker, item), late, threads=threads, deadline_s=self._deadline_s)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
