"""Where the time of a training step or an evaluation goes: each second to one thing, the innermost under way.

On a GPU, what was started is waited for by the first that looks at a result, so the borders between neighbours blur;
the sum of a step does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

# generate: the policy's words. env: users and programs. score: rewards. sync: new weights to vLLM. logprobs: of the
# policy before the update, and of the reference. update: forward, backward, optimizer. wait: for other learners.
Part = Literal["generate", "env", "score", "sync", "logprobs", "update", "wait", "rest"]

Params = ParamSpec("Params")
Result = TypeVar("Result")


@dataclass
class Timeline:
    """Seconds by part since they were last taken."""

    seconds: dict[Part, float] = field(default_factory=dict)
    _under_way: list[Part] = field(default_factory=list)
    _since: float = 0.0

    @contextmanager
    def during(self, part: Part) -> Iterator[None]:
        """Gives the time inside to `part`, and takes it from the part around."""
        self.begin(part)
        try:
            yield
        finally:
            self.end()

    def begin(self, part: Part) -> None:
        self._settle()
        self._under_way.append(part)

    def end(self) -> None:
        self._settle()
        self._under_way.pop()

    def timed(self, part: Part, function: Callable[Params, Result]) -> Callable[Params, Result]:
        """The function, with its time given to `part`."""

        @wraps(function)
        def measured(*args: Params.args, **kwargs: Params.kwargs) -> Result:
            with self.during(part):
                return function(*args, **kwargs)

        return measured

    def take(self) -> dict[str, float]:
        """Seconds under the names of metrics, e.g. time/update_s, none of them twice, and their sum, time/step_s."""
        self._settle()
        taken = {f"time/{part}_s": seconds for part, seconds in self.seconds.items()}
        total = {"time/step_s": sum(taken.values())} if taken else {}
        self.seconds = {}
        return taken | total

    def _settle(self) -> None:
        now = time.monotonic()
        if self._under_way:
            part = self._under_way[-1]
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now
