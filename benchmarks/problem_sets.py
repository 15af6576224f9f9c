"""Public problem sets as programs that must pass: each reference solution with its hidden tests, from local files."""

from __future__ import annotations

import ast
import builtins
import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from clarify_rl.problems.expressions import parse_arguments
from clarify_rl.types import Assertions, Case, HiddenTests, Tests

Row: TypeAlias = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Reference:
    """A correct program with its hidden tests.

    `script` holds the same tests as text that can follow the program; `first_line` is where the solution itself begins,
    behind what the statement gives.
    """

    name: str
    program: str
    entry_point: str
    tests: HiddenTests
    script: str
    first_line: int = 1


@dataclass(frozen=True)
class ProblemSet:
    """The references that can be judged, and one sentence for each group of rows that cannot."""

    name: str
    references: tuple[Reference, ...]
    left_out: tuple[str, ...] = ()


def humaneval(path: Path) -> ProblemSet:
    """HumanEval.jsonl: each problem's `check` runs in the judge, beside the helpers that its prompt defines."""
    return ProblemSet("HumanEval", tuple(map(_humaneval_reference, _rows(path))))


def _humaneval_reference(row: Row) -> Reference:
    entry_point, tests = row["entry_point"], row["test"]
    setup = f"{helpers(row['prompt'], entry_point)}\n{tests}"
    return Reference(
        row["task_id"],
        row["prompt"] + row["canonical_solution"],
        entry_point,
        Assertions(("check(candidate)",), setup),
        f"{tests}\ncheck({entry_point})\n",
        row["prompt"].count("\n") + 1,
    )


def helpers(prompt: str, entry_point: str) -> str:
    """A prompt's code without the function that is asked for: imports, and what the statement already defines."""
    body = ast.parse(prompt).body
    kept = [node for node in body if not (isinstance(node, ast.FunctionDef) and node.name == entry_point)]
    return ast.unparse(ast.Module(kept, []))


def humaneval_comm(path: Path) -> ProblemSet:
    """HumanEvalComm.jsonl: tests by `==` compare str(result) with the output; all others become assertions."""
    references = [reference for row in _rows(path) for reference in _comm_references(row)]
    return ProblemSet("HumanEvalComm", tuple(references))


def _comm_references(row: Row) -> Iterator[Reference]:
    """One reference for the tests by `==`, and one for the others."""
    name, entry_point, tests = row["name"], row["entry_point"], row["test_case"]
    printed = [test for test in tests if test["relation"] == "=="]
    if printed:
        cases = tuple(Case(parse_arguments(test["input"]), test["output"].rstrip()) for test in printed)
        compared = [f"assert str({entry_point}({test['input']})) == {test['output'].rstrip()!r}\n" for test in printed]
        yield Reference(name, row["solution"], entry_point, Tests(cases, "printed"), "".join(compared))
    checks = tuple(relation_check(test["relation"], test["input"]) for test in tests if test["relation"] != "==")
    if checks:
        setup = helpers(row["prompt"], entry_point)
        script = "\n".join([f"candidate = {entry_point}", *checks])
        yield Reference(name, row["solution"], entry_point, Assertions(checks, setup), script)


def relation_check(relation: str, given: object) -> str:
    """A relation of HumanEvalComm as an assertion: it is a condition on `candidate`, or a program that prints one.

    Such a program imports from `$demo$`, the solution; its helpers are the prompt's own and come from the setup.
    """
    lines = [line for line in relation.split("\n") if "$demo$" not in line]
    *before, last = ast.parse("\n".join(lines).replace("$input$", repr(given))).body
    assert isinstance(last, ast.Expr)
    condition = last.value
    match condition:
        case ast.Call(func=ast.Name(id="print"), args=[printed]):
            condition = printed
    return ast.unparse(ast.Module([*before, ast.Assert(condition)], []))


def mbpp(path: Path) -> ProblemSet:
    """mbpp.jsonl: every assertion of `test_list` is one check."""
    rows = _rows(path)
    kept = [row for row in rows if not _gives_types(row["test_list"][0])]
    left_out = f"{len(rows) - len(kept)} row gives a program types such as int, which are not plain data"
    return ProblemSet("MBPP", tuple(map(_mbpp_reference, kept)), (left_out,) if len(kept) < len(rows) else ())


def _gives_types(check: str) -> bool:
    calls = [node for node in ast.walk(ast.parse(check)) if isinstance(node, ast.Call)]
    given = {argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)}
    return any(isinstance(getattr(builtins, name, None), type) for name in given)


def _mbpp_reference(row: Row) -> Reference:
    setup, checks = row["test_setup_code"], tuple(row["test_list"])
    return Reference(
        f"MBPP/{row['task_id']}",
        row["code"],
        called_function(row["code"], checks[0]),
        Assertions(checks, setup),
        "\n".join([setup, *checks]),
    )


def called_function(program: str, check: str) -> str:
    """The function of the program that a check calls; a class that it also uses is not it."""
    defined = {node.name for node in ast.parse(program).body if isinstance(node, ast.FunctionDef)}
    called = [node.func for node in ast.walk(ast.parse(check)) if isinstance(node, ast.Call)]
    return next(function.id for function in called if isinstance(function, ast.Name) and function.id in defined)


def leetcode(path: Path) -> ProblemSet:
    """LeetCodeDataset's .jsonl.gz: rows whose solutions need no packages."""
    kept: list[Row] = []
    left_out: Counter[str] = Counter()
    for row in _rows(path):
        why = _unfit(row)
        left_out[why] += 1
        kept += [] if why else [row]
    sentences = tuple(f"{count} rows {why}" for why, count in left_out.items() if why)
    return ProblemSet("LeetCodeDataset", tuple(map(_leetcode_reference, kept)), sentences)


def _unfit(row: Row) -> str:
    """Why a row cannot be judged; "" when it can."""
    packages = {name for name in _imported(row["completion"]) if name not in sys.stdlib_module_names}
    return "import packages (numpy, sortedcontainers)" if packages else ""


def _imported(program: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _leetcode_reference(row: Row) -> Reference:
    prompt, entry_point, tests = row["prompt"], row["entry_point"], row["test"]
    return Reference(
        row["task_id"],
        f"{prompt}\n{row['completion']}",
        entry_point,
        Assertions(("check(candidate)",), f"{prompt}\n{tests}"),
        f"{tests}\ncheck({entry_point})\n",
        prompt.count("\n") + 2,
    )


def _rows(path: Path) -> Sequence[Row]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [json.loads(line) for line in text.split("\n") if line.strip()]


LOADERS: Mapping[str, Callable[[Path], ProblemSet]] = {
    "humaneval": humaneval,
    "humaneval_comm": humaneval_comm,
    "mbpp": mbpp,
    "leetcode": leetcode,
}
