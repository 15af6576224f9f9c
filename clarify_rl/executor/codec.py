"""Plain data as JSON with tags, for the wire between caller and program. Standard library only; no pickle, no eval.

A tree is what JSON can hold. JSON's own values stand for themselves; the rest is an object with one key: `t` tuple,
`s` set, `z` frozenset, `d` dict (as pairs), `i` big integer (hex), `f` nan or an infinity, `c` complex, `b` bytes
(hex), `o` a value that is not plain data (its type's name), `h` such a value that stays where it is (its number; only
between a program and its judge). Subclasses of builtin types count as the builtin type, so a named tuple is a tuple and
a member of an IntEnum an int; a scalar of NumPy is the Python number that its `item` gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Tree: TypeAlias = "bool | int | float | str | list[Tree] | dict[str, Tree] | None"

MAX_DEPTH = 100
MAX_BYTES = 4 << 20
LONGEST_REQUEST = 64 << 20  # a program with all its tests
EXACT_INT = 1 << 53
# What JSON writes around a value, at most.
COMMA_BYTES = 1
BRACKET_BYTES = 2
TAG_BYTES = 8
TOO_LARGE, TOO_DEEP = "value too large", "value too deep"
NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
SCALARS = (str, int, float, bool, complex, bytes)
KINDS = (*SCALARS, list, tuple, dict, set, frozenset)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is no float")
    return number


_parse = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode
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


def opaque(value: object) -> Tree:
    """The tree of a value that is not plain data."""
    return {"o": str(type(value).__name__)[:80]}


def encode(value: object, max_bytes: int = MAX_BYTES, other: Callable[[object], Tree] = opaque) -> Tree:
    """The value as a tree; `other` says what stands for a part that is not plain data.

    A value that is too large or too deep is opaque as a whole.
    """
    try:
        return _Encoder(max_bytes, other).tree(value, 0)
    except _TooMuchError as error:
        return {"o": str(error)}


def decode(tree: Tree, handle: Callable[[Tree], object] | None = None) -> object:
    """The value that a tree stands for, built anew on every call. `handle` gives the value for a tag `h`.

    Raises CodecError for a tree that `encode` cannot have made, also where a set or a dict would hold lists.
    """
    try:
        return _Decoder(handle).value(tree)
    except (TypeError, ValueError, RecursionError) as error:
        raise CodecError(str(error)[:200]) from None


def dumps(tree: Tree) -> bytes:
    """The tree as one line of ASCII, without its newline."""
    return _dump(tree).encode("ascii")


def loads(line: bytes) -> Tree:
    """The tree in one line of JSON. Anything else is a CodecError, however deep or odd."""
    try:
        tree: Tree = _parse(line.decode())
    except (ValueError, RecursionError) as error:
        raise CodecError(f"not JSON: {type(error).__name__}") from None
    return tree


def single(tree: dict[str, Tree]) -> tuple[str, Tree]:
    """The one tag of an object and what it holds."""
    if len(tree) != 1:
        raise CodecError(f"an object with {len(tree)} keys")
    return next(iter(tree.items()))


def check_tree(tree: Tree, depth: int = 0) -> None:
    """CodecError for a tree that `encode` cannot have made. It builds nothing: safe on whatever a program sent."""
    if not isinstance(tree, list | dict):
        return
    if depth > MAX_DEPTH:
        raise CodecError("deeper than the codec allows")
    if isinstance(tree, list):
        for item in tree:
            check_tree(item, depth + 1)
        return
    tag, body = single(tree)
    if tag in _SCALARS:
        _SCALARS[tag](body)
    elif tag not in ("t", "s", "z", "d") or not isinstance(body, list):
        raise CodecError(f"unknown tag {tag[:20]!r}, or one without its list")
    else:
        for item in body:
            if tag == "d" and not (isinstance(item, list) and len(item) == 2):
                raise CodecError("a dict without pairs")
            for part in item if tag == "d" and isinstance(item, list) else (item,):
                check_tree(part, depth + 1)


def too_much(tree: Tree) -> str:
    """Why `encode` gave a value up as a whole, as too large or too deep; "" where it did not."""
    kind = str(tree.get("o")) if isinstance(tree, dict) else ""
    return kind if kind in (TOO_LARGE, TOO_DEEP) else ""


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

    def __init__(self, max_bytes: int, other: Callable[[object], Tree]) -> None:
        self.left = max_bytes
        self.other = other

    def spend(self, size: int) -> None:
        """Counts bytes of JSON, never fewer than `dumps` will write."""
        self.left -= size
        if self.left < 0:
            raise _TooMuchError(TOO_LARGE)

    def tree(self, value: object, depth: int) -> Tree:
        if value is None:
            self.spend(len("null") + COMMA_BYTES)
            return None
        kind = _builtin_kind(type(value))
        if kind is None:
            return self.no_builtin(value, depth)
        if kind in SCALARS:
            return self.scalar(kind, value)
        if depth >= MAX_DEPTH:
            raise _TooMuchError(TOO_DEEP)
        return self.container(kind, value, depth + 1)

    def no_builtin(self, value: object, depth: int) -> Tree:
        plain = _item_of_numpy(value)
        if plain is not None:
            return self.tree(plain, depth)
        tree = self.other(value)
        self.spend(len(_dump(tree)) + COMMA_BYTES)
        return tree

    # Each branch calls the builtin's own method, so that a subclass's overrides never take part.
    def scalar(self, kind: type, value: Any) -> Tree:  # Any: of this kind
        self.spend(COMMA_BYTES)
        if kind is str:
            return self.text(value)
        if kind is bool:
            self.spend(len("true" if value is True else "false"))
            return value is True
        if kind is int:
            return self.integer(int.__int__(value))
        if kind is float:
            return self.floating(float.__float__(value))
        self.spend(TAG_BYTES)
        if kind is complex:
            number = complex.__pos__(value)
            self.spend(BRACKET_BYTES + COMMA_BYTES)
            return {"c": [self.floating(number.real), self.floating(number.imag)]}
        self.spend(2 * bytes.__len__(value))
        return {"b": bytes.hex(value)}

    def text(self, value: Any) -> str:  # Any: a str, or of a class that extends it
        length = str.__len__(value)
        self.spend(length)  # before anything of that size is made
        text = str.__str__(value)
        self.spend(len(_dump(text)) - length)
        return text

    def integer(self, number: int) -> Tree:
        self.spend(number.bit_length() // 3 + 2)
        if -EXACT_INT < number < EXACT_INT:
            return number
        self.spend(TAG_BYTES)
        return {"i": hex(number)}

    def floating(self, number: float) -> Tree:
        if math.isfinite(number):
            self.spend(len(repr(number)))
            return number
        self.spend(TAG_BYTES)
        return {"f": repr(number)}

    def container(self, kind: Any, value: Any, depth: int) -> Tree:  # Any: a builtin and one of its values
        self.spend(COMMA_BYTES + BRACKET_BYTES if kind is list else COMMA_BYTES + BRACKET_BYTES + TAG_BYTES)
        if kind is dict:
            return {"d": [self.pair(key, item, depth) for key, item in dict.items(value)]}
        items: Iterable[object] = kind.__iter__(value)
        trees = [self.tree(item, depth) for item in items]
        if kind is list:
            return trees
        if kind is tuple:
            return {"t": trees}
        return {"s" if kind is set else "z": sorted(trees, key=_dump)}

    def pair(self, key: object, item: object, depth: int) -> Tree:
        self.spend(COMMA_BYTES + BRACKET_BYTES)
        return [self.tree(key, depth), self.tree(item, depth)]


def _item_of_numpy(value: Any) -> object:  # Any: of a class that may be NumPy's, which is not imported here
    """The Python number that a scalar of NumPy stands for; None where it is none. An array is no scalar."""
    if not any(base.__module__ == "numpy" and base.__name__ == "generic" for base in type(value).__mro__):
        return None
    plain: object = value.item()
    return plain if type(plain) in SCALARS else None


def _builtin_kind(cls: type) -> type | None:
    """The builtin data type that a class is or extends."""
    for base in cls.__mro__:
        for kind in KINDS:
            if base is kind:  # not ==, which a metaclass may answer
                return kind
    return None


class _Decoder:
    """Builds values from trees. A tag that nobody knows is an error."""

    def __init__(self, handle: Callable[[Tree], object] | None) -> None:
        self.handle = handle

    def value(self, tree: Tree) -> object:
        if isinstance(tree, list):
            return [self.value(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        tag, body = single(tree)
        match tag:
            case "t":
                return tuple(self.items(body))
            case "s":
                return set(self.items(body))
            case "z":
                return frozenset(self.items(body))
            case "d":
                return self.pairs(body)
            case "h" if self.handle is not None:
                return self.handle(body)
        if tag not in _SCALARS:
            raise CodecError(f"unknown tag {tag[:20]!r}")
        return _SCALARS[tag](body)

    def items(self, body: Tree) -> list[object]:
        if not isinstance(body, list):
            raise CodecError("a tag without its list")
        return [self.value(item) for item in body]

    def pairs(self, body: Tree) -> dict[object, object]:
        entries = {}
        for pair in self.items(body):
            match pair:
                case [key, value]:
                    entries[key] = value
                case _:
                    raise CodecError("a dict without pairs")
        return entries


def _text(body: Tree) -> str:
    if not isinstance(body, str):
        raise CodecError("a tag without its text")
    return body


def _non_finite(body: Tree) -> float:
    if _text(body) not in NON_FINITE:
        raise CodecError("not a special float")
    return NON_FINITE[_text(body)]


def _complex(body: Tree) -> complex:
    match body:
        case [real, imaginary]:
            return complex(_part(real), _part(imaginary))
    raise CodecError("not a complex number")


def _part(tree: Tree) -> float:
    match tree:
        case float():
            return tree
        case {"f": body}:
            return _non_finite(body)
    raise CodecError("not a part of a complex number")


def _hexadecimal(body: Tree) -> int:
    try:
        return int(_text(body), 16)
    except ValueError as error:
        raise CodecError(str(error)[:200]) from None


def _bytes(body: Tree) -> bytes:
    try:
        return bytes.fromhex(_text(body))
    except ValueError as error:
        raise CodecError(str(error)[:200]) from None


_SCALARS: dict[str, Callable[[Tree], object]] = {
    "i": _hexadecimal,
    "f": _non_finite,
    "c": _complex,
    "b": _bytes,
    "o": lambda body: Opaque(_text(body)),
}
