"""What an executor is asked to do: one program on its hidden tests."""

from __future__ import annotations

from dataclasses import dataclass

from clarify_rl.errors import ExecutorError
from clarify_rl.executor.codec import Tree
from clarify_rl.types import HiddenTests


@dataclass(frozen=True)
class Trial:
    """A program with its hidden tests.

    `entry_point` is the problem's name for what is called. A program that does not bind it may bind `candidate`, or
    define one function only, under whatever name. `prelude` runs before the program, in its names: the imports that
    its prompt gave.
    """

    program: str
    entry_point: str
    tests: HiddenTests
    prelude: str = ""

    def __post_init__(self) -> None:
        for name in ("program", "entry_point", "prelude"):
            if not isinstance(value := getattr(self, name), str):
                raise ExecutorError(f"{name} must be text, found {type(value).__name__}.")

    @property
    def request(self) -> dict[str, Tree]:
        """What the program's process is told of it, whatever the tests are."""
        return {"program": self.program, "prelude": self.prelude, "entry_point": self.entry_point}
