"""Values of the argument lists that data sets write as Python text: literals and plain arithmetic, nothing is run."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Sequence

from clarify_rl import syntax

MAX_EXPONENT = 1000
MAX_MAGNITUDE = 10**12
MAX_LENGTH = 1_000_000

_BINARY: dict[type[ast.operator], Callable[[object, object], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_CALLS: dict[str, Callable[[object], object]] = {"float": float, "set": set, "list": list, "tuple": tuple}  # type: ignore[dict-item]  # reason: a wrong argument raises, which parse_arguments reports


def parse_arguments(text: str) -> tuple[object, ...]:
    """The arguments that `text` writes, e.g. "[0] * 3, float('inf')". ValueError says what is not allowed."""
    if not text.strip():
        return ()
    try:
        tree = syntax.parse(f"({text}\n,)", "eval").body
        value = _value(tree)
    except (SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is not a list of plain values: {error}") from error
    assert isinstance(value, tuple)
    return value


def _value(node: ast.expr) -> object:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Tuple(elts=items):
            return tuple(map(_value, items))
        case ast.List(elts=items):
            return list(map(_value, items))
        case ast.Set(elts=items):
            return set(map(_value, items))
        case ast.Dict(keys=keys, values=values) if all(keys):
            return {_value(key): _value(item) for key, item in zip(keys, values, strict=True) if key}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not() as op, operand=operand):
            return _unary(op, _value(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _binary(op, _value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLS and len(args) <= 1:
            return _CALLS[name](*map(_value, args))
        case ast.Attribute(value=ast.Name(id="math"), attr="inf" | "nan" | "pi" | "e" as name):
            return getattr(math, name)
    raise ValueError(f"{ast.unparse(node)!r} is neither a literal nor plain arithmetic")


def _unary(op: ast.unaryop, value: object) -> object:
    if isinstance(op, ast.Not):
        return not value
    if not isinstance(value, int | float | complex):
        raise ValueError(f"a sign before {value!r}")
    return -value if isinstance(op, ast.USub) else +value


def _binary(op: ast.operator, left: object, right: object) -> object:
    """One operation, refused where its result could be huge: data is not trusted to be harmless."""
    if isinstance(op, ast.Mod) and not isinstance(left, int | float):
        raise ValueError("string formatting")
    if isinstance(op, ast.Pow) and not (_size(left) <= MAX_MAGNITUDE and _size(right) <= MAX_EXPONENT):
        raise ValueError(f"{left!r} ** {right!r} is too large")
    if isinstance(op, ast.Mult) and any(isinstance(side, Sequence) for side in (left, right)):
        length = math.prod(len(side) if isinstance(side, Sequence) else int(_size(side)) for side in (left, right))
        if length > MAX_LENGTH:
            raise ValueError(f"a sequence of {length} items")
    return _BINARY[type(op)](left, right)


def _size(value: object) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"arithmetic on {value!r}")
    return abs(value)
