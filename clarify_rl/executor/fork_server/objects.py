"""Objects of the tests' own classes, carried between tests and program as plain data: linked lists, trees, graphs.

Tests often build their arguments from classes that both sides define (ListNode, TreeNode). An object crosses as the
name of its class and its attributes, and is built anew on the other side from the class of that name there. So a test
only ever sees objects of its own classes, with attributes that are data. Objects that refer to each other are laid out
in a flat table: a long list needs no deep nesting, and what was one object stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from clarify_rl.executor.codec import CodecError, Tree

MOST_OBJECTS = 100_000


class Outgoing:
    """Collects the objects of one message while its values are encoded.

    `name_of` gives the name of the class of an object that may cross, or None; `other` encodes everything else that is
    not plain data.
    """

    def __init__(self, name_of: Callable[[object], str | None], other: Callable[[object], Tree]) -> None:
        self.name_of = name_of
        self.other = other
        self.met: list[object] = []
        self.numbers: dict[int, int] = {}

    def reference(self, value: object) -> Tree:
        """What stands for a value that is not plain data."""
        if self.name_of(value) is None:
            return self.other(value)
        if id(value) not in self.numbers:
            if len(self.met) >= MOST_OBJECTS:
                raise ValueError(f"more than {MOST_OBJECTS} objects")
            self.numbers[id(value)] = len(self.met)
            self.met.append(value)
        return {"h": ["object", self.numbers[id(value)]]}

    def table(self, encode: Callable[[object], Tree]) -> list[Tree]:
        """Every object that was met, and those that their attributes lead to: class name, and attributes by name."""
        rows: list[Tree] = []
        for value in self.met:  # grows meanwhile
            attributes = object.__getattribute__(value, "__dict__")
            rows.append([self.name_of(value), [[str(name), encode(item)] for name, item in dict.items(attributes)]])
        return rows


class Incoming:
    """Builds the objects of one message from their table. CodecError for a table that Outgoing cannot have made."""

    def __init__(self, table: Tree, classes: Mapping[str, object]) -> None:
        self.rows = [_row(row) for row in _rows(table)]
        self.built = [_bare(classes.get(name)) for name, _ in self.rows]

    def fill(self, decode: Callable[[Tree], object]) -> None:
        """Gives the objects their attributes, which may be objects of the same message."""
        for made, (_, attributes) in zip(self.built, self.rows, strict=True):
            own: dict[str, object] = object.__getattribute__(made, "__dict__")  # straight, so that no code runs
            for pair in attributes:
                match pair:
                    case [str(name), tree]:
                        own[name] = decode(tree)
                    case _:
                        raise CodecError("an attribute without its name")

    def get(self, number: int) -> object:
        if not 0 <= number < len(self.built):
            raise CodecError("an object that is not there")
        return self.built[number]


def _rows(table: Tree) -> Sequence[Tree]:
    if not isinstance(table, list) or len(table) > MOST_OBJECTS:
        raise CodecError("not a table of objects")
    return table


def _row(row: Tree) -> tuple[str, list[Tree]]:
    match row:
        case [str(name), [*attributes]]:
            return name, attributes
    raise CodecError("not a row of a table of objects")


def _bare(found: object) -> object:
    """An object without attributes, made without running any code of its class."""
    if not isinstance(found, type):
        raise CodecError("an object of an unknown class")
    try:
        made: object = object.__new__(found)
        object.__getattribute__(made, "__dict__")
    except (TypeError, AttributeError) as error:
        raise CodecError(str(error)[:200]) from None
    return made
