"""Programs that differ from a correct one in one small place. Most are wrong, and hidden tests should notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


@dataclass(frozen=True)
class Mutant:
    """A changed program, and what was changed on which line."""

    program: str
    change: str


@dataclass(frozen=True)
class Change:
    """One way to change a node: what it is called, and what stands in the node's place."""

    what: str
    node: ast.expr | ast.stmt


def mutants(program: str, count: int, seed: str, first_line: int = 1) -> tuple[Mutant, ...]:
    """Up to `count` different mutants, drawn from all single changes from `first_line` on."""
    original = ast.unparse(ast.parse(program))
    places = list(range(_mutated(program, -1, first_line).seen))
    Random(seed).shuffle(places)
    found: dict[str, Mutant] = {}
    for place in places:
        if len(found) == count:
            break
        mutated = _mutated(program, place, first_line)
        if mutated.program not in (original, *found):
            found[mutated.program] = Mutant(mutated.program, mutated.change)
    return tuple(found.values())


class _Mutation(ast.NodeTransformer):
    """Makes the change number `place` of all that a tree allows, and counts them."""

    def __init__(self, place: int, first_line: int) -> None:
        self.place = place
        self.first_line = first_line
        self.seen = 0
        self.change = ""
        self.program = ""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Import | ast.ImportFrom | ast.arg):  # nothing in an annotation is worth changing
            return node
        changed = self.generic_visit(node)
        if not isinstance(node, ast.expr | ast.stmt) or node.lineno < self.first_line:
            return changed
        for change in _changes(node):
            if self.seen == self.place:
                self.change = f"line {node.lineno}: {change.what}"
                changed = change.node
            self.seen += 1
        return changed


def _mutated(program: str, place: int, first_line: int) -> _Mutation:
    mutation = _Mutation(place, first_line)
    tree = mutation.visit(ast.parse(program))
    mutation.program = ast.unparse(ast.fix_missing_locations(tree))
    return mutation


def _changes(node: ast.expr | ast.stmt) -> Iterator[Change]:
    for kind in (_of_expression, _of_condition, _of_statement):
        yield from kind(node)


def _of_expression(node: ast.expr | ast.stmt) -> Iterator[Change]:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            yield Change("another operator", ast.BinOp(left, OPERATORS[type(op)](), right))
        case ast.Constant(value=bool(value)):
            yield Change("the other truth value", ast.Constant(not value))
        case ast.Constant(value=int(value)):
            yield Change("a constant plus 1", ast.Constant(value + 1))
            yield Change("a constant minus 1", ast.Constant(value - 1))
        case ast.Compare(left=left, ops=[op, *ops], comparators=right) if type(op) in COMPARISONS:
            yield Change("another comparison", ast.Compare(left, [COMPARISONS[type(op)](), *ops], right))
        case ast.Call(func=ast.Name(id="range"), args=[*args], keywords=[]) if args:
            end = min(1, len(args) - 1)
            for step in (1, -1):
                moved = ast.BinOp(args[end], ast.Add(), ast.Constant(step))
                given = [*args[:end], moved, *args[end + 1 :]]
                yield Change(f"a range's end by {step:+}", ast.Call(node.func, given, []))


def _of_condition(node: ast.expr | ast.stmt) -> Iterator[Change]:
    match node:
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield Change("and/or", ast.BoolOp(other, values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield Change("a negation left out", operand)
        case ast.If(test=test, body=body, orelse=orelse):
            yield Change("a condition negated", ast.If(ast.UnaryOp(ast.Not(), test), body, orelse))
        case ast.While(test=test, body=body, orelse=orelse):
            yield Change("a condition negated", ast.While(ast.UnaryOp(ast.Not(), test), body, orelse))


def _of_statement(node: ast.expr | ast.stmt) -> Iterator[Change]:
    match node:
        case ast.Return(value=ast.expr()):
            yield Change("None returned", ast.Return(ast.Constant(None)))
        case ast.Expr(value=ast.Constant()):  # a docstring
            return
        case ast.Assign() | ast.AugAssign() | ast.Expr():
            yield Change("a statement left out", ast.Pass())
