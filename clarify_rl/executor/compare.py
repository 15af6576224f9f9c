"""Rules that say whether a result is the expected one. They work on trees: a program's values are never built here.

Sets and dicts are compared by sorting, not hashing, so that a program cannot slow the caller with colliding keys. Only
a rule of the user's own is given values, and only those that cannot collide much.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clarify_rl.errors import ExecutorError, unknown_name
from clarify_rl.executor.codec import MAX_DEPTH, CodecError, Tree, decode, dumps, single

TOLERANCE = 1e-6
MOST_KEYS = 5000
BUILT_IN = ("exact", "printed", "close", "unordered")
BUILT_IN_STDIO = ("lines", "exact", "close")
# A number as programs print them. Python's own `float` reads more, such as 1_0.
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf|infinity)", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)


class ComparisonError(Exception):
    """A user's own comparison does not work: what it would say of a program means nothing."""


class Rule(Protocol):
    """Whether a result, as a tree, is as good as the expected one."""

    def __call__(self, result: Tree, expected: Tree, /) -> bool: ...


def exact(result: Tree, expected: Tree) -> bool:
    """Equal in type and value; nan equals nan, and 0.0 equals -0.0."""
    if isinstance(result, dict) or isinstance(expected, dict):
        return canonical(result) == canonical(expected)
    if isinstance(result, list) and isinstance(expected, list):
        return len(result) == len(expected) and all(map(exact, result, expected))
    return type(result) is type(expected) and result == expected


def unordered(result: Tree, expected: Tree) -> bool:
    """A list or tuple holds equal items, in any order; everything else as in `exact`."""
    return _sorted_items(result) == _sorted_items(expected)


def same_lines(result: Tree, expected: Tree) -> bool:
    """Equal text, but for spaces at the ends of lines and empty lines at the end."""
    return _stripped_lines(result) == _stripped_lines(expected)


@dataclass(frozen=True)
class Close:
    """Equal, but for numbers: an int or float may differ by `tolerance`, relative or absolute, from a float."""

    tolerance: float = TOLERANCE

    def __call__(self, result: Tree, expected: Tree) -> bool:
        numbers = _number(result), _number(expected)
        if isinstance(numbers[0], float) or isinstance(numbers[1], float):
            return None not in numbers and _is_close(numbers[0], numbers[1], self.tolerance)  # type: ignore[arg-type]  # not None
        if isinstance(result, list) and isinstance(expected, list):
            return len(result) == len(expected) and all(map(self, result, expected))
        if isinstance(result, dict) and isinstance(expected, dict):
            (tag, body), (other_tag, other_body) = single(result), single(expected)
            if tag == other_tag and tag in ("t", "d"):
                return self(_by_key(body) if tag == "d" else body, _by_key(other_body) if tag == "d" else other_body)
        return exact(result, expected)


@dataclass(frozen=True)
class CloseWords:
    """The same words in the same order, where numbers may differ by `tolerance`."""

    tolerance: float = TOLERANCE

    def __call__(self, result: Tree, expected: Tree) -> bool:
        words, due = str(result).split(), str(expected).split()
        return len(words) == len(due) and all(map(self._same, words, due))

    def _same(self, word: str, due: str) -> bool:
        if word == due:
            return True
        if not (_NUMBER.fullmatch(word) and _NUMBER.fullmatch(due)):
            return False
        if _WHOLE.fullmatch(word) and _WHOLE.fullmatch(due):  # as floats, neighbours beyond 2**53 would be equal
            return _whole(word) == _whole(due)
        return _is_close(float(word), float(due), self.tolerance)


@dataclass(frozen=True)
class Custom:
    """A user's own function of the result and the expected value, that returns True or False. `name` is for messages.

    ComparisonError where the function itself is at fault: it returns something else, lacks a name, or does not find the
    expected value equal to itself. What it raises otherwise is about this result, which it was not made for: wrong.
    """

    function: Callable[[object, object], object]
    name: str = "the comparison"

    def __call__(self, result: Tree, expected: Tree) -> bool:
        if _keys(expected) > MOST_KEYS:
            raise ComparisonError(
                f"{self.name} is given at most {MOST_KEYS:,} keys, and the expected value has {_keys(expected):,}. "
                "Take exact, close or unordered, which have no such limit."
            )
        if _keys(result) > MOST_KEYS:
            # No fault of the function's: a program that could choose to be unmeasured would do so when it is wrong.
            return False
        try:
            return self._answer(result, expected)
        except ComparisonError:
            raise
        except _NEVER_THE_RESULT as error:
            raise ComparisonError(self._raised(error)) from None
        except Exception:
            self._require_reflexive(expected)
            return False

    def _require_reflexive(self, expected: Tree) -> None:
        try:
            holds = self._answer(expected, expected)
        except ComparisonError:
            raise
        except Exception as error:
            raise ComparisonError(self._raised(error)) from None
        if not holds:
            raise ComparisonError(f"{self.name} does not find the expected value equal to itself.")

    def _raised(self, error: Exception) -> str:
        return f"{self.name} raised {type(error).__name__}: {str(error)[:200]}"

    def _answer(self, result: Tree, expected: Tree) -> bool:
        answer = self.function(decode(result), decode(expected))
        if not isinstance(answer, bool):
            raise ComparisonError(
                f"{self.name} returned a {type(answer).__name__}, {str(answer)[:80]!r}. It must return True or False, "
                "e.g. bool(...)."
            )
        return answer


# What code raises that could not work whatever it was given.
_NEVER_THE_RESULT = (NameError, ImportError, SyntaxError)


def rule_of(name: str, load: Callable[[str], Callable[[object, object], object]]) -> Rule:
    """The rule for results that a name stands for; `load` finds a user's own. ExecutorError for an unknown name."""
    kind, _, tolerance = name.partition(":")
    match kind:
        case "exact" | "printed" if not tolerance:
            return exact
        case "unordered" if not tolerance:
            return unordered
        case "close":
            return Close(_tolerance(tolerance))
    return Custom(load(name), name) if tolerance else _unknown(name, BUILT_IN)


def stdio_rule_of(name: str, load: Callable[[str], Callable[[object, object], object]]) -> Rule:
    """The rule for printed output that a name stands for."""
    kind, _, tolerance = name.partition(":")
    match kind:
        case "lines" if not tolerance:
            return same_lines
        case "exact" if not tolerance:
            return exact
        case "close":
            return CloseWords(_tolerance(tolerance))
    return Custom(load(name), name) if tolerance else _unknown(name, BUILT_IN_STDIO)


def _unknown(name: str, known: Sequence[str]) -> Rule:
    raise ExecutorError(unknown_name("comparison", name, known) + " A function works too: path/to/file.py:name.")


def _tolerance(text: str) -> float:
    try:
        value = float(text or TOLERANCE)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ExecutorError(f"The tolerance of close must be a number such as close:1e-6, found {text!r}.")
    return value


def canonical(tree: Tree, depth: int = 0) -> bytes:
    """The same bytes for equal values only: sets and dicts in sorted order, -0.0 as 0.0, nan as itself."""
    if depth > 2 * MAX_DEPTH + 2:
        raise CodecError("deeper than the codec allows")
    if isinstance(tree, float):
        return dumps(tree + 0.0)
    if isinstance(tree, list):
        return b"[%b]" % b",".join([canonical(item, depth + 1) for item in tree])
    if not isinstance(tree, dict):
        return dumps(tree)
    tag, body = single(tree)
    if tag in ("s", "z", "d"):
        return b"%b{%b}" % (tag.encode(), b",".join(sorted(_canonical_items(body, depth + 1))))
    if tag in ("t", "c", "i", "f", "b", "o"):
        return b"%b(%b)" % (tag.encode(), canonical(body, depth + 1))
    raise CodecError(f"unknown tag {tag[:20]!r}")


def _canonical_items(body: Tree, depth: int) -> list[bytes]:
    if not isinstance(body, list):
        raise CodecError("a tag without its list")
    return [canonical(item, depth) for item in body]


def _sorted_items(tree: Tree) -> tuple[str, list[bytes]]:
    if isinstance(tree, list):
        return "list", sorted(_canonical_items(tree, 0))
    if isinstance(tree, dict) and single(tree)[0] == "t":
        return "tuple", sorted(_canonical_items(single(tree)[1], 0))
    return "", [canonical(tree)]


def _stripped_lines(tree: Tree) -> list[str]:
    return [line.rstrip() for line in str(tree).rstrip().split("\n")]


def _number(tree: Tree) -> float | int | None:
    """The number that a tree stands for; None when it is something else (a bool is)."""
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return tree
    match tree:
        case {"f": str(text), **rest} if not rest and text in ("nan", "inf", "-inf"):
            return float(text)
        case {"i": str(text), **rest} if not rest:
            return int(text, 16)
    return None


def _whole(word: str) -> tuple[bool, str]:
    """Whether a whole number is negative, and its digits: as text, since reading a long one takes long."""
    digits = word.lstrip("+-").lstrip("0")
    return word.startswith("-") and bool(digits), digits


def _is_close(number: float, other: float, tolerance: float) -> bool:
    try:
        both_nan = math.isnan(number) and math.isnan(other)
        return both_nan or math.isclose(number, other, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an int that no float can hold
        return False


def _by_key(body: Tree) -> Tree:
    """A dict's pairs sorted by key, so that their order does not matter."""
    if not isinstance(body, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in body):
        raise CodecError("a dict without pairs")
    return sorted(body, key=lambda pair: canonical(pair[0]))  # type: ignore[index]  # pairs, as just checked


def _keys(tree: Tree) -> int:
    """How many keys and items the sets and dicts of a tree have together."""
    if isinstance(tree, list):
        return sum(map(_keys, tree))
    if not isinstance(tree, dict):
        return 0
    tag, body = single(tree)
    own = len(body) if tag in ("s", "z", "d") and isinstance(body, list) else 0
    return own + _keys(body)
