"""What the readings of a fact give for inputs. Each program is run once, however often its results are asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clarify_rl.executor import Executor, Output
from clarify_rl.synthesis.facts import Reading, Subject, Wrapped, permuted
from clarify_rl.synthesis.inputs import Args
from clarify_rl.types import Problem, Raises

Value = object | Raises


@dataclass(frozen=True)
class Given:
    """What the truth gives for every input, and what each other reading of one fact would give."""

    due: tuple[Value, ...]
    others: Mapping[str, tuple[Value, ...]]

    def telling(self, other: str) -> set[int]:
        """The inputs for which it differs."""
        pairs = zip(self.due, self.others[other], strict=True)
        return {i for i, (first, second) in enumerate(pairs) if not same(first, second)}


class Oracle:
    """Runs the reference of one problem, and the readings around it."""

    def __init__(self, executor: Executor, problem: Problem) -> None:
        self.executor, self.problem = executor, problem
        self._known: dict[tuple[str, str], tuple[Output, ...]] = {}

    def outputs(self, program: str, inputs: Sequence[Args]) -> tuple[Output, ...]:
        """What a program gives for each input."""
        key = program, repr(inputs)
        if key not in self._known:
            self._known[key] = self.executor.outputs(program, self.problem.entry_point, inputs, self.problem.prelude)
        return self._known[key]

    def values(self, program: str, inputs: Sequence[Args]) -> tuple[Value, ...] | None:
        """The same as values or exceptions; None where the program cannot be run for all of them."""
        outputs = self.outputs(program, inputs)
        return None if any(output.why for output in outputs) else tuple(map(_outcome, outputs))

    def given(
        self,
        subject: Subject,
        truths: Sequence[Reading],
        others: Sequence[Reading],
        inputs: Sequence[Args],
        which: int = 0,
    ) -> Given | None:
        """Tests as the truths have them, and what `others` in place of the fact `which` give for them.

        None where the truth itself cannot be run; another reading that cannot is left out.
        """
        asked = [permuted(args, truths) for args in inputs]
        program = wrapped(subject, truths)
        due = self.values(program, asked)
        if due is None or any(_is_a_crash(value, program) for value in due):
            return None
        named = {}
        for other in others:
            instead = [other if i == which else truth for i, truth in enumerate(truths)]
            given = self.values(wrapped(subject, instead), asked)
            if given is not None:
                named[other.name] = given
        return Given(due, named)


def wrapped(subject: Subject, readings: Sequence[Reading]) -> str:
    """The reference with the readings around it, as program text."""
    return Wrapped(subject.problem.solution, subject.entry_point, subject.parameters, tuple(readings)).program()


def _is_a_crash(value: Value, program: str) -> bool:
    """Whether the program raised what it nowhere raises on purpose: no truth ends in one."""
    return isinstance(value, Raises) and f"raise {value.exception}" not in program


def _outcome(output: Output) -> Value:
    return Raises(output.raised) if output.raised else output.value


def same(first: Value, second: Value) -> bool:
    """As a variant's tests compare: floats within a tolerance, everything else in type and value."""
    numbers = [value for value in (first, second) if type(value) in (int, float)]
    if len(numbers) == 2 and float in map(type, numbers):
        return math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-6)  # type: ignore[arg-type]  # both are numbers
    if type(first) is not type(second):
        return False
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second)
