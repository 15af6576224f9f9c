"""Objects of the tests' own classes, carried between tests and program as plain data: linked lists, trees, graphs.

Tests often build their arguments from classes that both sides define (ListNode, TreeNode). An object crosses as the
name of its class and its attributes, and is built anew on the other side from the class of that name there. So a test
only ever sees objects of its own classes, with attributes that are data. Objects that refer to each other are laid out
in a flat table: a long list needs no deep nesting, and what was one object stays one, also on its way back. A member of
an Enum crosses by its name.

The program decides what it sends, so an object that it made, or changed, may only be of a class that leaves comparing
to its attributes: one whose objects decide what they equal would say so of a forged tolerance too.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clarify_rl.executor.codec import CodecError, Tree

MOST_OBJECTS = 100_000
_ARITHMETIC = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor".split()
DECIDING = frozenset(
    f"__{name}__"
    for name in (
        *"eq ne lt le gt ge contains bool call getattr getattribute instancecheck subclasscheck".split(),
        *"neg pos abs invert int float complex index round trunc floor ceil".split(),
        *(side + name for name in _ARITHMETIC for side in ("", "r", "i")),
    )
)


class ForgedError(ValueError):
    """An object came from the program whose class decides itself what its objects equal."""


def decides(cls: type) -> bool:
    """Whether objects of a class of the tests decide what they equal, or what they are as a number or a truth.

    Methods that `dataclass` writes compare attributes and nothing else, so they decide nothing.
    """
    own = (item for base in cls.__mro__[:-1] for item in vars(base).items())
    return any(name in DECIDING and not _written_by_dataclass(member) for name, member in own)


def _written_by_dataclass(member: object) -> bool:
    return isinstance(member, types.FunctionType) and member.__code__.co_filename == "<string>"


class Outgoing:
    """Collects the objects of one message while its values are encoded.

    `name_of` gives the name of the class of an object that may cross, or None; `other` encodes everything else that is
    not plain data. `known` are objects that the other side has under the same numbers.
    """

    def __init__(
        self, name_of: Callable[[object], str | None], other: Callable[[object], Tree], known: Sequence[object] = ()
    ) -> None:
        self.name_of = name_of
        self.other = other
        self.met = list(known)
        self.numbers = {id(value): number for number, value in enumerate(known)}

    def reference(self, value: object) -> Tree:
        """What stands for a value that is not plain data."""
        name = self.name_of(value)
        if name is None:
            return self.other(value)
        if isinstance(value, enum.Enum):
            return {"h": ["member", name, str(value._name_)]}
        if id(value) not in self.numbers:
            if len(self.met) >= MOST_OBJECTS:
                raise ValueError(f"more than {MOST_OBJECTS} objects")
            self.numbers[id(value)] = len(self.met)
            self.met.append(value)
        return {"h": ["object", self.numbers[id(value)]]}

    def table(self, encode: Callable[[object], Tree], before: Sequence[Tree] = ()) -> list[Tree]:
        """Every object that was met, and those that their attributes lead to: class name, and attributes by name.

        None stands for an object that still is as its row in `before` says.
        """
        rows: list[Tree] = []
        for number, value in enumerate(self.met):  # grows meanwhile
            attributes = [[name, encode(item)] for name, item in _attributes(value).items()]
            row: Tree = [self.name_of(value), attributes]  # type: ignore[list-item]  # a list of lists is a tree
            rows.append(None if number < len(before) and row == before[number] else row)
        return rows


class Incoming:
    """Builds the objects of one message from their table. CodecError for a table that Outgoing cannot have made.

    The first rows are about the objects that are `known`, and None where nothing changed. `trusted` False: the program
    made the table, so ForgedError for what it may not make.
    """

    def __init__(
        self, table: Tree, classes: Mapping[str, object], known: Sequence[object] = (), *, trusted: bool = True
    ) -> None:
        self.rows = _rows(table)
        self.classes = classes
        parsed = [None if row is None and n < len(known) else _row(row) for n, row in enumerate(self.rows)]
        if not trusted:
            _refuse_forged({row[0] for row in parsed if row}, classes)
        new = [_bare(classes.get(row[0])) for row in parsed[len(known) :] if row]
        self.built = [*known, *new]
        self._parsed = parsed

    @property
    def trees(self) -> list[Tree]:
        """What the attributes were sent as."""
        return [tree for row in self._parsed if row is not None for _, tree in row[1]]

    def fill(self, decode: Callable[[Tree], object]) -> None:
        """Gives the objects their attributes, which may be objects of the same message."""
        for value, row in zip(self.built, self._parsed, strict=False):
            if row is not None:
                _set_attributes(value, {name: decode(tree) for name, tree in row[1]})

    def get(self, reference: Tree) -> object:
        """What a tag `h` that Outgoing made stands for."""
        match reference:
            case ["object", int(number)] if 0 <= number < len(self.built):
                return self.built[number]
            case ["member", str(name), str(member)]:
                kind = self.classes.get(name)
                if isinstance(kind, enum.EnumMeta) and member in kind.__members__:
                    return kind.__members__[member]
        raise CodecError("an object that is not there")


def _refuse_forged(names: set[str], classes: Mapping[str, object]) -> None:
    for name in sorted(names):
        known = classes.get(name)
        if isinstance(known, type) and decides(known):
            raise ForgedError(
                f"{name} is a class of the tests that decides what its objects equal, so the program can neither make "
                "nor change one; compare plain data, or leave out its __eq__ and its likes"
            )


def _rows(table: Tree) -> Sequence[Tree]:
    if not isinstance(table, list) or len(table) > MOST_OBJECTS:
        raise CodecError("not a table of objects")
    return table


def _row(row: Tree) -> tuple[str, list[tuple[str, Tree]]]:
    match row:
        case [str(name), [*attributes]]:
            return name, [_pair(attribute) for attribute in attributes]
    raise CodecError("not a row of a table of objects")


def _pair(tree: Tree) -> tuple[str, Tree]:
    match tree:
        case [str(name), value]:
            return name, value
    raise CodecError("an attribute without its name")


def _bare(kind: object) -> object:
    """An object without attributes, made without running any code of its class."""
    if not isinstance(kind, type):
        raise CodecError("an object of an unknown class")
    try:
        bare: object = object.__new__(kind)
    except TypeError as error:
        raise CodecError(str(error)[:200]) from None
    return bare


# Attributes are read and written straight, so that no code of the class runs.


def _attributes(value: object) -> dict[str, object]:
    attributes = {str(name): item for name, item in dict.items(_dict_of(value) or {})}
    for name, slot in _slots(type(value)).items():
        try:
            attributes[name] = slot.__get__(value)
        except AttributeError:  # never set
            continue
    return attributes


def _set_attributes(value: object, attributes: Mapping[str, object]) -> None:
    own, slots = _dict_of(value), _slots(type(value))
    if own is not None:
        dict.clear(own)
    for name, item in attributes.items():
        if name in slots:
            slots[name].__set__(value, item)
        elif own is not None:
            own[name] = item
        else:
            raise CodecError(f"an object that has no attribute {name[:80]}")


def _dict_of(value: object) -> dict[str, object] | None:
    try:
        own: dict[str, object] = object.__getattribute__(value, "__dict__")
    except AttributeError:  # a class with slots
        return None
    return own


def _slots(cls: type) -> dict[str, Any]:  # Any: slots, whose stubs lack __set__
    return {
        name: member
        for base in reversed(cls.__mro__)
        for name, member in vars(base).items()
        if type(member) is types.MemberDescriptorType
    }
