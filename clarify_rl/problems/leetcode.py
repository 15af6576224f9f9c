"""LeetCodeDataset (Xia et al. 2025, arXiv 2504.14655; MIT, but the statements are LeetCode's: never ship them)."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from clarify_rl.errors import DataError
from clarify_rl.problems.programs import as_pairs, assertions_in, parsed
from clarify_rl.problems.reading import Row, read_rows
from clarify_rl.registry import source
from clarify_rl.types import Assertions, Problem, Skipped

HUB_NAME = "newfacade/LeetCodeDataset"
# What the plain text lost of powers: `109 + 7` was 10^9 + 7.
_POWERS = (
    (re.compile(r"\b109 ?\+ ?7\b"), "10^9 + 7"),
    (re.compile(r"\b10([4-9])\b(?= ?(?:$|\n|<|\+|-|,|\.|\)))"), r"10^\1"),
    (re.compile(r"\b231\b(?= ?(?:- ?1|$|\n|<|,|\.|\)))"), "2^31"),
)


@source("leetcode")
@dataclass(frozen=True)
class LeetCode:
    """`path`: LeetCodeDataset's .jsonl or .jsonl.gz, or the hub's name. `difficulty`: Easy, Medium, Hard, or all.

    What is asked for is a plain function; solutions that import packages are left out.
    """

    path: str = HUB_NAME
    split: str = "train"
    difficulty: tuple[str, ...] = ()

    def read(self) -> Iterator[Problem | Skipped]:
        for row in read_rows(self.path, split=self.split):
            if isinstance(row, Skipped):
                yield row
            elif not self.difficulty or row.fields.get("meta", row.fields).get("difficulty") in self.difficulty:
                yield _problem(row)


def _problem(row: Row) -> Problem | Skipped:
    try:
        entry = row.text("entry_point").rpartition(".")[2]
        completion, prelude = row.text("completion"), str(row.fields.get("prompt", ""))
        packages = sorted({name for name in _imported(completion) if name not in sys.stdlib_module_names})
        if packages:
            return Skipped(row.where, f"the reference imports {', '.join(packages)}")
        function = as_function(completion, entry)
        statement = _statement(row)
        checks = assertions_in(row.text("test"))
        names = tuple(argument.arg for argument in _method(completion, entry).args.args[1:])
        tests = as_pairs(checks, ["candidate"], names) or Assertions(
            ("check(candidate)",), f"{prelude}\n{row.text('test')}"
        )
        return Problem(
            id=f"LeetCode/{row.text('task_id')}",
            prompt=f"{statement}\n\nWrite the function {entry}({', '.join(names)}).",
            entry_point=entry,
            tests=tests,
            solution=function,
            source="LeetCodeDataset",
            prelude=prelude,
        )
    except DataError as error:
        return Skipped(row.where, str(error))


def _statement(row: Row) -> str:
    text = row.text("query").partition("Please complete the following python code")[0]
    text = text.replace("\xa0", " ").replace("\u200b", "").replace("\r", "")
    for lost, power in _POWERS:
        text = lost.sub(power, text)
    return re.sub(r"\n{2,}", "\n", re.sub(r" *\n *", "\n", text)).strip()


def _method(completion: str, name: str) -> ast.FunctionDef:
    for node in parsed(completion).body:
        if isinstance(node, ast.ClassDef) and node.name == "Solution":
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == name:
                    return method
    raise DataError(f"the reference has no Solution.{name}")


def as_function(completion: str, name: str) -> str:
    """LeetCode's class as a plain function: its method without `self` where it uses none, else a call of the class."""
    method = _method(completion, name)
    uses_self = any(isinstance(node, ast.Name) and node.id == "self" for node in ast.walk(method))
    others = [
        node for node in parsed(completion).body if not (isinstance(node, ast.ClassDef) and node.name == "Solution")
    ]
    plain = not uses_self and not method.decorator_list
    if plain:
        method.args.args = method.args.args[1:]
        return ast.unparse(ast.fix_missing_locations(ast.Module([*others, method], []))) + "\n"
    names = ", ".join(argument.arg for argument in method.args.args[1:])
    return f"{completion.rstrip()}\n\n\ndef {name}({names}):\n    return Solution().{name}({names})\n"


def _imported(program: str) -> Iterator[str]:
    for node in ast.walk(parsed(program)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
