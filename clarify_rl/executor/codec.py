"""Plain data as JSON with tags, for the wire between caller and program. Standard library only; no pickle, no eval.

A tree is what JSON can hold. JSON's own values stand for themselves; the rest is an object with one key: `t` tuple,
`s` set, `z` frozenset, `d` dict (as pairs), `i` big integer (hex), `f` nan or an infinity, `c` complex, `b` bytes
(hex), `o` a value that is not plain data (its type's name). Subclasses of builtin types count as the builtin type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Tree: TypeAlias = "bool | int | float | str | list[Tree] | dict[str, Tree] | None"

MAX_DEPTH = 100
MAX_BYTES = 4 << 20
EXACT_INT = 1 << 53
NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
SCALARS = (str, int, float, bool, complex, bytes)
KINDS = (*SCALARS, list, tuple, dict, set, frozenset)

_dump = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class Opaque:
    """A value that is not plain data. It equals nothing, not even itself."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]  # unhashable on purpose: it must not hide in a set

    def __repr__(self) -> str:
        return f"<opaque {self.type_name}>"


class CodecError(ValueError):
    """A tree that `encode` cannot have made."""


class _TooMuchError(Exception):
    """The value is larger or deeper than the codec allows."""


def encode(value: object, max_bytes: int = MAX_BYTES) -> Tree:
    """The value as a tree; opaque where it is not plain data, or as a whole when it is too large or too deep."""
    try:
        return _Encoder(max_bytes).tree(value, 0)
    except _TooMuchError as error:
        return {"o": str(error)}


def decode(tree: Tree) -> object:
    """The value that a tree stands for, built anew on every call."""
    if isinstance(tree, list):
        return [decode(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tag, body = single(tree)
    if tag not in _DECODERS:
        raise CodecError(f"unknown tag {tag[:20]!r}")
    return _DECODERS[tag](body)


def dumps(tree: Tree) -> bytes:
    """The tree as one line of ASCII, without its newline."""
    return _dump(tree).encode("ascii")


def loads(line: bytes) -> Tree:
    """The tree in one line of JSON. Anything else is a CodecError, however deep or odd."""
    try:
        tree: Tree = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"not JSON: {type(error).__name__}") from None
    return tree


def single(tree: dict[str, Tree]) -> tuple[str, Tree]:
    """The one tag of an object and what it holds."""
    if len(tree) != 1:
        raise CodecError(f"an object with {len(tree)} keys")
    return next(iter(tree.items()))


def opaque_in(tree: Tree) -> str | None:
    """The type name of the first part of a tree that is not plain data; None when all of it is."""
    if isinstance(tree, dict):
        tag, body = single(tree)
        return str(body) if tag == "o" else opaque_in(body)
    if isinstance(tree, list):
        return next((name for name in map(opaque_in, tree) if name is not None), None)
    return None


class _Encoder:
    """Builds one tree within a budget, so that shared or endless structures cannot grow without bound."""

    def __init__(self, max_bytes: int) -> None:
        self.left = max_bytes

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise _TooMuchError("value too large")

    def tree(self, value: object, depth: int) -> Tree:
        self.spend(2)
        if value is None:
            return None
        kind = _builtin_kind(type(value))
        if kind is None:
            return {"o": str(type(value).__name__)[:80]}
        if kind in SCALARS:
            return self.scalar(kind, value)
        if depth >= MAX_DEPTH:
            raise _TooMuchError("value too deep")
        return self.container(kind, value, depth + 1)

    # Each branch calls the builtin's own method, so that a subclass's overrides never take part.
    def scalar(self, kind: type, value: Any) -> Tree:  # Any: of this kind
        if kind is str:
            text = str.__str__(value)
            self.spend(len(text))
            return text
        if kind is bool:
            return value is True
        if kind is int:
            return self.integer(int.__int__(value))
        if kind is float:
            return _float_tree(float.__float__(value))
        if kind is complex:
            number = complex.__pos__(value)
            return {"c": [_float_tree(number.real), _float_tree(number.imag)]}
        self.spend(2 * bytes.__len__(value))
        return {"b": bytes.hex(value)}

    def integer(self, number: int) -> Tree:
        self.spend(number.bit_length() // 4)
        return number if -EXACT_INT < number < EXACT_INT else {"i": hex(number)}

    def container(self, kind: Any, value: Any, depth: int) -> Tree:  # Any: a builtin and one of its values
        if kind is dict:
            pairs = dict.items(value)
            return {"d": [[self.tree(key, depth), self.tree(item, depth)] for key, item in pairs]}
        items: Iterable[object] = kind.__iter__(value)
        trees = [self.tree(item, depth) for item in items]
        if kind is list:
            return trees
        if kind is tuple:
            return {"t": trees}
        return {"s" if kind is set else "z": sorted(trees, key=_dump)}


def _builtin_kind(cls: type) -> type | None:
    """The builtin data type that a class is or extends."""
    for base in cls.__mro__:
        for kind in KINDS:
            if base is kind:  # not ==, which a metaclass may answer
                return kind
    return None


def _float_tree(number: float) -> Tree:
    return number if math.isfinite(number) else {"f": repr(number)}


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _text(body: Tree) -> str:
    if not isinstance(body, str):
        raise CodecError("a tag without its text")
    return body


def _items(body: Tree) -> list[object]:
    if not isinstance(body, list):
        raise CodecError("a tag without its list")
    return [decode(item) for item in body]


def _pairs(body: Tree) -> dict[object, object]:
    entries = {}
    for pair in _items(body):
        match pair:
            case [key, value]:
                entries[key] = value
            case _:
                raise CodecError("a dict without pairs")
    return entries


def _non_finite(body: Tree) -> float:
    if _text(body) not in NON_FINITE:
        raise CodecError("not a special float")
    return NON_FINITE[_text(body)]


def _complex(body: Tree) -> complex:
    match _items(body):
        case [float(real), float(imaginary)]:
            return complex(real, imaginary)
    raise CodecError("not a complex number")


_DECODERS: dict[str, Callable[[Tree], object]] = {
    "t": lambda body: tuple(_items(body)),
    "s": lambda body: set(_items(body)),
    "z": lambda body: frozenset(_items(body)),
    "d": _pairs,
    "i": lambda body: int(_text(body), 16),
    "f": _non_finite,
    "c": _complex,
    "b": lambda body: bytes.fromhex(_text(body)),
    "o": lambda body: Opaque(_text(body)),
}
