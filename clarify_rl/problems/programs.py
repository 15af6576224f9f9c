"""What can be read off a reference program and its tests without running either."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from clarify_rl import syntax
from clarify_rl.errors import DataError
from clarify_rl.problems.expressions import parse_arguments
from clarify_rl.types import Case, Tests


def parsed(program: str) -> ast.Module:
    """The program's tree. DataError where it is no Python."""
    try:
        return syntax.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"the reference is no Python program: {error}") from error


def functions(program: str) -> dict[str, ast.FunctionDef]:
    """The functions that a program defines at its top level, by name."""
    return {node.name: node for node in parsed(program).body if isinstance(node, ast.FunctionDef)}


def parameters(program: str, entry_point: str) -> tuple[str, ...]:
    """The names of the parameters of a top-level function, or () where it takes others than plain ones."""
    function = functions(program).get(entry_point)
    if function is None:
        return ()
    given = function.args
    if given.vararg or given.kwarg or given.kwonlyargs:
        return ()
    return tuple(argument.arg for argument in (*given.posonlyargs, *given.args))


def called_function(program: str, checks: Sequence[str]) -> str:
    """The function of the program that the checks call. DataError where they call none of its functions."""
    defined = functions(program)
    for check in checks:
        for node in ast.walk(parsed(check)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
                return node.func.id
    raise DataError(f"the tests call none of the reference's functions ({', '.join(defined) or 'it defines none'})")


def assertions_in(code: str) -> tuple[str, ...]:
    """Every assertion that stands anywhere in code, a `check` function for instance, as text."""
    return tuple(ast.unparse(node) for node in ast.walk(parsed(code)) if isinstance(node, ast.Assert))


def as_pairs(checks: Sequence[str], names: Sequence[str], order: Sequence[str] = ()) -> Tests | None:
    """Assertions of the form `assert f(ARGUMENTS) == VALUE` as pairs, or None where one has another form.

    `names` are what `f` may be called; `order` the parameters that keyword arguments stand for.
    """
    cases = [_case(check, names, order) for check in checks]
    # Python's == takes 240 for 240.0, which the exact rule does not.
    return Tests(tuple(case for case in cases if case), "close:0") if cases and all(cases) else None


def _case(check: str, names: Sequence[str], order: Sequence[str]) -> Case | None:
    match parsed(check).body:
        case [ast.Assert(test=ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[value]))]:
            pass
        case [ast.Assert(test=ast.Call() as call)]:  # assert f(x)
            value = ast.Constant(True)
        case [ast.Assert(test=ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call))]:
            value = ast.Constant(False)
        case _:
            return None
    if ast.unparse(call.func) not in names:
        return None
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if keywords and (call.args or set(keywords) != set(order)):
        return None
    given = [keywords[name] for name in order] if keywords else call.args
    try:
        return Case(parse_arguments(", ".join(map(ast.unparse, given))), parse_arguments(ast.unparse(value))[0])
    except ValueError:
        return None


def preceding(statement: str, entry_point: str) -> str:
    """The code that a statement which is Python gives beside what it asks for: imports and helper functions."""
    try:
        body = syntax.parse(statement).body
    except SyntaxError:
        return ""
    given = [ast.get_source_segment(statement, node) for node in body if getattr(node, "name", "") != entry_point]
    return "\n".join(text for text in given if text)
