"""Which function of a program to call, found by reading it: nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from clarify_rl import syntax

PLACEHOLDER = "candidate"


def resolve_entry_point(program: str, entry_point: str) -> str:
    """The name to call: `entry_point` if defined, else `candidate`, else the only function, else `entry_point`.

    Variants often rename the function in their prompt, so a program may rightly define another name than the problem's.
    """
    try:
        body = syntax.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # A program that cannot be read fails when it is run; that is the executor's verdict to give.
        return entry_point
    names = set(_bound_names(body))
    for name in (entry_point, PLACEHOLDER):
        if name in names:
            return name
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return functions.pop() if len(functions) == 1 else entry_point


def _bound_names(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """Names that a module's top level binds, also inside `if`, `try` and `with`."""
    for node in statements:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.Import() | ast.ImportFrom():
                yield from (alias.asname or alias.name for alias in node.names)
            case ast.If() | ast.With():
                yield from _bound_names([*node.body, *getattr(node, "orelse", [])])
            case ast.Try():
                handlers = [statement for handler in node.handlers for statement in handler.body]
                yield from _bound_names([*node.body, *handlers, *node.orelse, *node.finalbody])
