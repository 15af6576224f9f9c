"""More test inputs for a problem: its own ones mutated, within what holds in all of them and what its statement bounds.

The reference is the oracle. What it leaves out: constraints in other words than `1 <= n <= 100` which no known input
shows, so an input may be one that the problem's author would not allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random

from clarify_rl.synthesis.constraints import Bounds

Args = tuple[object, ...]

_TRIES = 8  # for each input that is wanted
_BEYOND = 10  # the known numbers, as far as the statement allows
_LONGEST = 1200  # characters of an input, written out


@dataclass(frozen=True)
class Shape:
    """What holds of one parameter in every known input. `bounds` are those of the statement."""

    low: int
    high: int
    bounds: Bounds
    alphabet: str
    ascending: bool
    distinct: bool
    non_empty: bool


def more_inputs(known: Sequence[Args], count: int, rng: Random, bounds: Sequence[Bounds] = ()) -> list[Args]:
    """Up to `count` new inputs of the known ones' shape, deterministic by `rng`; `bounds` are the parameters'."""
    if not known or not known[0] or len({len(args) for args in known}) > 1:
        return []
    stated = bounds or [Bounds()] * len(known[0])
    shapes = [_shape([args[i] for args in known], stated[i]) for i in range(len(known[0]))]
    lengths = _tied_lengths(known)
    seen = {repr(args) for args in known}
    made: list[Args] = []
    for _ in range(_TRIES * count):
        if len(made) >= count:
            break
        args = _mutated(rng.choice(known), shapes, rng)
        args = _repaired(args, shapes, lengths)
        text = repr(args)
        if text not in seen and len(text) <= _LONGEST and _fits(args, known, shapes):
            seen.add(text)
            made.append(args)
    return made


def _shape(values: Sequence[object], bounds: Bounds) -> Shape:
    numbers = [number for value in values for number in _numbers(value)]
    texts = "".join(text for value in values for text in _texts(value))
    lists = [value for value in values if isinstance(value, list | tuple)]
    rows = [list(value) for value in lists if len(value) > 1]
    low, high = min(numbers, default=0), max(numbers, default=9)
    return Shape(
        low=low if bounds.low is None else min(low, max(bounds.low, low - _BEYOND)),
        high=high if bounds.high is None else max(high, min(bounds.high, high + _BEYOND)),
        bounds=bounds,
        alphabet="".join(sorted(set(texts))),
        ascending=bool(rows) and len(rows) > 1 and all(_ascends(row) for row in rows),
        distinct=bool(rows) and all(len(set(map(repr, row))) == len(row) for row in rows),
        non_empty=all(len(value) > 0 for value in values if isinstance(value, list | tuple | str | dict)),
    )


def _ascends(row: list[object]) -> bool:
    kinds = {type(item) for item in row}
    return kinds <= {int} and row == sorted(row)  # type: ignore[type-var]  # ints only


def _numbers(value: object) -> list[int]:
    if type(value) is int:
        return [value]
    if isinstance(value, list | tuple):
        return [number for item in value for number in _numbers(item)]
    return []


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return []


def _tied_lengths(known: Sequence[Args]) -> list[tuple[int, int]]:
    """Pairs (i, j) where parameter i is always the length of parameter j."""
    places = range(len(known[0]))
    return [
        (i, j)
        for i in places
        for j in places
        if i != j and all(type(args[i]) is int and args[i] == _length(args[j]) for args in known)
    ]


def _mutated(args: Args, shapes: Sequence[Shape], rng: Random) -> Args:
    changed = list(deepcopy(args))
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(changed))
        changed[place] = _mutate(changed[place], shapes[place], rng)
    return tuple(changed)


def _mutate(value: object, shape: Shape, rng: Random) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = (value + 1, value - 1, value + rng.randint(-3, 3), rng.randint(shape.low, shape.high))
        return max(shape.low, rng.choice(near))
    if isinstance(value, float):
        return round(value + rng.choice((-1, 1, 0.5, 0.25, -0.37)), 5)
    if isinstance(value, str):
        return _mutate_text(value, shape, rng)
    if isinstance(value, list):
        return _mutate_list(value, shape, rng)
    if isinstance(value, tuple):
        return tuple(_mutate_list(list(value), shape, rng))
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        return {**value, key: _mutate(value[key], shape, rng)}
    return value


def _mutate_text(text: str, shape: Shape, rng: Random) -> str:
    letters = shape.alphabet or "ab"
    if not text:
        return rng.choice(letters)
    place = rng.randrange(len(text))
    return rng.choice(
        (
            text[:place] + rng.choice(letters) + text[place + 1 :],
            text[:place] + text[place + 1 :],
            text[:place] + text[place] + text[place:],
            text[::-1],
            "".join(rng.sample(text, len(text))),
            "".join(rng.choice(letters) for _ in range(rng.randint(1, max(2, len(text))))),
        )
    )


def _mutate_list(items: list[object], shape: Shape, rng: Random) -> list[object]:
    if not items:
        return items
    place = rng.randrange(len(items))
    other = deepcopy(items)
    match rng.randrange(7):
        case 0 | 1:
            other[place] = _mutate(other[place], shape, rng)
        case 2:
            del other[place]
        case 3:
            other.insert(place, deepcopy(rng.choice(items)))
        case 4:
            rng.shuffle(other)
        case 5:
            other[place] = deepcopy(rng.choice(items))
        case _:
            other = [_mutate(item, shape, rng) for item in other]
    return other


def _repaired(args: Args, shapes: Sequence[Shape], lengths: Sequence[tuple[int, int]]) -> Args:
    changed = list(args)
    for place, shape in enumerate(shapes):
        value = changed[place]
        if shape.ascending and isinstance(value, list | tuple) and all(type(item) is int for item in value):
            changed[place] = type(value)(sorted(value))
    for i, j in lengths:
        changed[i] = _length(changed[j])
    return tuple(changed)


def _fits(args: Args, known: Sequence[Args], shapes: Sequence[Shape]) -> bool:
    for value, shape in zip(args, shapes, strict=True):
        if isinstance(value, list | tuple | str | dict) and shape.non_empty and not value:
            return False
        if not _within(value, shape.bounds):
            return False
        if shape.distinct and isinstance(value, list | tuple) and len(set(map(repr, value))) < len(value):
            return False
    return all(_same_length(args, i, j) for i, j in _equal_lengths(known))


def _within(value: object, bounds: Bounds) -> bool:
    """Whether a value keeps to what the statement says of it."""
    numbers, length = _numbers(value), _length(value)
    return (
        (bounds.low is None or min(numbers, default=bounds.low) >= bounds.low)
        and (bounds.high is None or max(numbers, default=bounds.high) <= bounds.high)
        and (bounds.shortest is None or length < 0 or length >= bounds.shortest)
        and (bounds.longest is None or length <= bounds.longest)
    )


def _equal_lengths(known: Sequence[Args]) -> list[tuple[int, int]]:
    """Pairs of parameters that are equally long in every known input."""
    if len(known) == 1:
        return []
    places = range(len(known[0]))
    return [(i, j) for i in places for j in range(i) if all(_same_length(args, i, j) for args in known)]


def _same_length(args: Args, i: int, j: int) -> bool:
    return _length(args[i]) == _length(args[j]) != -1


def _length(value: object) -> int:
    return len(value) if isinstance(value, list | tuple | str) else -1
