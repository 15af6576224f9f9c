"""A reference with its readings written into it, as a person would write the whole: one function, no wrapper.

It is done only where the program surely means the same as a function around the reference would (`merged` is None
elsewhere): no recursion, no generator, one definition whose parameters are known, names that do not get in each other's
way, no `try` around what is returned.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

from clarify_rl import syntax

RESULT = "result"
_MOST_IN_TWO_LINES = 2  # returns that become two lines each; with more a function around them reads better
_FOLDED = {
    name: getattr(builtins, name) for name in ("list", "tuple", "sorted", "round", "int", "map", "str", "dict", "type")
}
_FOLDABLE = (
    ast.Expression, ast.IfExp, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop, ast.Constant,
    ast.Name, ast.expr_context, ast.Call, ast.keyword, ast.Attribute, ast.BinOp, ast.Add, ast.Sub, ast.List, ast.Tuple,
)  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """Lines before the body, which may return; expressions of `result`, one after another; the parameters as taken."""

    before: Sequence[str]
    results: Sequence[str]
    taken: Sequence[str]


def merged(source: str, entry_point: str, parameters: Sequence[str], changes: Changes) -> str | None:
    """The program, or None where a function around the reference is needed."""
    tree = syntax.parse(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_point]
    if len(functions) != 1 or not _is_plain(functions[0], parameters) or _mentioned(tree, functions[0]):
        return None
    function = functions[0]
    before = syntax.parse("\n".join(changes.before)).body if changes.before else []
    expressions = [ast.parse(text, mode="eval").body for text in changes.results]
    if not _names_keep_apart(function, before, expressions) or (expressions and not _returns_are_plain(function)):
        return None
    returns = _Returns(expressions)
    body = [part for statement in function.body for part in returns.rewritten(statement)]
    if returns.in_two_lines > _MOST_IN_TWO_LINES:
        return None
    docstring = body[:1] if ast.get_docstring(function) is not None else []
    function.body = [*docstring, *before, *body[len(docstring) :]]
    if expressions:
        function.returns = None  # it may be another type now
    by_name = {argument.arg: argument for argument in function.args.args}
    function.args.args = [by_name[name] for name in changes.taken]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _is_plain(function: ast.FunctionDef, parameters: Sequence[str]) -> bool:
    """Whether it takes just these parameters, without defaults, and neither yields nor is decorated."""
    arguments = function.args
    others = arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg or arguments.defaults
    return (
        not others
        and [argument.arg for argument in arguments.args] == list(parameters)
        and not function.decorator_list
        and not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own(function))
    )


def _mentioned(tree: ast.Module, function: ast.FunctionDef) -> bool:
    """Whether the function is called by itself or by others, who would get the changed result."""
    return any(isinstance(node, ast.Name) and node.id == function.name for node in ast.walk(tree))


def _own(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What a function does itself, functions inside it left out."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _names_keep_apart(function: ast.FunctionDef, before: Sequence[ast.stmt], results: Sequence[ast.expr]) -> bool:
    """Whether neither the body nor what is put around it changes a name that the other one reads."""
    own = {argument.arg for argument in function.args.args}
    written, read = _names(function.body, ast.Store) | _functions_in(function), _names(function.body, ast.Load)
    return (
        not (written & (_names(results, ast.Load) - {RESULT}))
        and not ((_names(before, ast.Store) - own) & (read | written))
        and not (_names(before, ast.Store) & own & _names(results, ast.Load))
        and not (results and RESULT in own)
    )


def _names(nodes: Sequence[ast.AST], context: type[ast.expr_context]) -> set[str]:
    every = (node for part in nodes for node in ast.walk(part))
    return {node.id for node in every if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


def _functions_in(function: ast.FunctionDef) -> set[str]:
    inner = (node for part in function.body for node in ast.walk(part))
    return {node.name for node in inner if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _returns_are_plain(function: ast.FunctionDef) -> bool:
    """Whether the function ends by a return on every way, and none stands where what follows it could be caught."""
    tried = any(isinstance(node, ast.Try | ast.TryStar | ast.With) for node in _own(function))
    return _ends(function.body) and not tried


def _ends(body: Sequence[ast.stmt]) -> bool:
    match body[-1]:
        case ast.Return() | ast.Raise():
            return True
        case ast.If(body=yes, orelse=no):
            return bool(no) and _ends(yes) and _ends(no)
        case _:
            return False


class _Returns:
    """Puts the expressions around what a function returns."""

    def __init__(self, expressions: Sequence[ast.expr]) -> None:
        self.expressions = expressions
        self.in_two_lines = 0

    def rewritten(self, statement: ast.stmt) -> list[ast.stmt]:
        """The statement with its returns changed; a return may become two lines."""
        if isinstance(statement, ast.Return) and self.expressions:
            return self._return(statement)
        for name in ("body", "orelse"):
            inner = getattr(statement, name, None)
            if isinstance(inner, list) and not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                setattr(statement, name, [part for each in inner for part in self.rewritten(each)])
        for case in getattr(statement, "cases", ()):
            case.body = [part for each in case.body for part in self.rewritten(each)]
        return [statement]

    def _return(self, statement: ast.Return) -> list[ast.stmt]:
        lines: list[ast.stmt] = []
        value = statement.value or ast.Constant(None)
        for expression in self.expressions:
            if (known := _folded(expression, value)) is not None:
                value = known
                continue
            if _uses(expression) > 1 and not isinstance(value, ast.Name):
                lines.append(ast.Assign([ast.Name(RESULT, ast.Store())], value))
                value = ast.Name(RESULT, ast.Load())
            value = _put_in(expression, value)
        self.in_two_lines += bool(lines)
        return [*lines, ast.Return(value)]


def _uses(expression: ast.expr) -> int:
    return sum(isinstance(node, ast.Name) and node.id == RESULT for node in ast.walk(expression))


def _put_in(expression: ast.expr, value: ast.expr) -> ast.expr:
    """The expression with `value` for its `result`."""

    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return value if node.id == RESULT else node

    found: ast.expr = Put().visit(deepcopy(expression))
    return found


def _folded(expression: ast.expr, value: ast.expr) -> ast.expr | None:
    """The expression of a plain value as a plain value: `return True` becomes `return 'Yes'`. None for any other."""
    whole = ast.Expression(deepcopy(expression))
    known = {node.id for node in ast.walk(whole) if isinstance(node, ast.Name)} <= {RESULT, *_FOLDED}
    if not known or not all(isinstance(node, _FOLDABLE) for node in ast.walk(whole)):
        return None
    try:
        names = {**_FOLDED, RESULT: ast.literal_eval(value), "__builtins__": {}}
        found = eval(compile(ast.fix_missing_locations(whole), "", "eval"), names)
        return ast.parse(repr(found), mode="eval").body
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, NameError, SyntaxError):
        return None
