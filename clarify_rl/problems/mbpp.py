"""MBPP (Austin et al. 2021, arXiv 2108.07732; CC-BY-4.0), full or sanitized: one sentence, a function, three tests."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clarify_rl.errors import DataError
from clarify_rl.problems.programs import as_pairs, called_function, parameters, parsed
from clarify_rl.problems.reading import Row, read_rows
from clarify_rl.registry import source
from clarify_rl.types import Assertions, HiddenTests, Problem, Skipped

HUB_NAME = "google-research-datasets/mbpp"


@source("mbpp")
@dataclass(frozen=True)
class MBPP:
    """`path`: mbpp.jsonl, sanitized-mbpp.json, or the hub's name. `first` and `last` bound the task ids.

    The statement is the human sentence with the function's name and parameters; `examples` of its tests stand behind
    it, since the sentence alone leaves types and orders open. The rest stays hidden, and those that are shown, too.
    """

    path: str = HUB_NAME
    subset: str = "full"
    first: int = 1
    last: int = 974
    examples: int = 1

    def read(self) -> Iterator[Problem | Skipped]:
        for row in read_rows(self.path, subset=self.subset):
            if isinstance(row, Skipped):
                yield row
            elif self.first <= int(row.fields.get("task_id", 0)) <= self.last:
                yield self._problem(row)

    def _problem(self, row: Row) -> Problem | Skipped:
        try:
            fields = row.fields
            program = row.text("code").replace("\r", "")
            checks = tuple(str(check).strip() for check in fields.get("test_list") or ())
            setup = str(fields.get("test_setup_code") or "\n".join(fields.get("test_imports") or ()))
            name = called_function(program, checks)
            if given := types_given(checks):
                return Skipped(row.where, f"its tests give the type {given}, and a program is given plain data only")
            sentence = " ".join(str(fields.get("text") or fields.get("prompt") or "").split())
            return Problem(
                id=f"MBPP/{fields['task_id']}",
                prompt=statement(sentence, name, parameters(program, name), checks[: self.examples]),
                entry_point=name,
                tests=_tests(checks, name, program, setup),
                solution=program.strip() + "\n",
                source="MBPP",
            )
        except DataError as error:
            return Skipped(row.where, str(error))


def _tests(checks: tuple[str, ...], name: str, program: str, setup: str) -> HiddenTests:
    """The tests as pairs where they have that form.

    A reference that returns 1 where True is due is right by the tests' own ==, and wrong as a value: such tests stay as
    they are written.
    """
    pairs = as_pairs(checks, [name])
    if pairs and any(isinstance(case.expected, bool) for case in pairs.cases) and _returns_numbers(program):
        return Assertions(checks, setup)
    return pairs or Assertions(checks, setup)


def _returns_numbers(program: str) -> bool:
    returned = [node.value for node in ast.walk(parsed(program)) if isinstance(node, ast.Return)]
    return any(isinstance(value, ast.Constant) and type(value.value) is int for value in returned)


def types_given(checks: Sequence[str]) -> str:
    """The first builtin type that a test hands to the program, "" where none does."""
    calls = [node for check in checks for node in ast.walk(parsed(check)) if isinstance(node, ast.Call)]
    names = [argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)]
    return next((name for name in names if isinstance(getattr(builtins, name, None), type)), "")


def statement(sentence: str, name: str, parameters: tuple[str, ...], examples: tuple[str, ...] = ()) -> str:
    """A sentence, what the function is called and takes, and tests that it must pass."""
    said = f"{sentence.rstrip('.')}. Call it {name}({', '.join(parameters)})."
    return "\n".join([said, *examples])
