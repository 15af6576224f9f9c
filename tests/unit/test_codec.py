"""The codec carries plain data unchanged, and nothing else."""

from __future__ import annotations

import collections
import enum
import math
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarify_rl.executor.codec import MAX_DEPTH, CodecError, Opaque, Tree, decode, dumps, encode, loads, opaque_in
from clarify_rl.executor.compare import canonical
from tests.executor_cases import HASHABLE, JSON_TREES, PLAIN_VALUES, quickly, same


class Yes(enum.IntEnum):
    ONE = 1


class Liar(int):
    """Claims to be equal to everything, in every way that a class can."""

    def __eq__(self, other: object) -> bool:
        return True

    def __int__(self) -> int:
        return 42

    __index__ = __int__
    __hash__ = int.__hash__


class LiarList(list):  # type: ignore[type-arg]  # its items are not the point
    def __iter__(self):  # type: ignore[no-untyped-def]  # it must never run
        raise AssertionError("candidate code ran")


@quickly
@given(PLAIN_VALUES)
def test_plain_data_comes_back_equal_and_of_the_same_type(value: object) -> None:
    tree = encode(value)
    back = decode(loads(dumps(tree)))
    assert same(back, value)
    assert canonical(encode(back)) == canonical(tree)
    assert opaque_in(tree) is None


@quickly
@given(PLAIN_VALUES)
def test_a_line_is_ascii_without_a_newline(value: object) -> None:
    line = dumps(encode(value))
    assert line.isascii()
    assert b"\n" not in line


@quickly
@given(PLAIN_VALUES, st.integers(0, 200))
def test_a_budget_is_kept_or_the_whole_value_is_opaque(value: object, max_bytes: int) -> None:
    tree = encode(value, max_bytes)
    assert tree in (encode(value), {"o": "value too large"})
    if tree == {"o": "value too large"}:
        assert len(dumps(encode(value))) > max_bytes / 12  # of what is counted, JSON needs a twelfth at the least


@quickly
@given(st.dictionaries(HASHABLE, st.integers(), max_size=6))
def test_a_dict_keeps_its_order_on_the_wire_but_not_in_comparison(value: dict[object, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert list(decode(encode(backwards)).items()) == list(backwards.items())  # type: ignore[attr-defined]  # a dict
    assert canonical(encode(backwards)) == canonical(encode(value))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (True, 1),
        (1, 1.0),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ({1}, {True}),
        ({1: "a"}, {1.0: "a"}),
        ("1", 1),
        (b"a", "a"),
    ],
)
def test_equal_values_of_different_types_are_told_apart(left: object, right: object) -> None:
    assert canonical(encode(left)) != canonical(encode(right))
    assert canonical(encode([left])) != canonical(encode([right]))


@pytest.mark.parametrize("value", [math.nan, [math.nan], {"x": complex(math.nan, 1)}])
def test_nan_equals_nan(value: object) -> None:
    assert canonical(encode(value)) == canonical(decode_and_encode(value))


def decode_and_encode(value: object) -> Tree:
    return encode(decode(encode(value)))


def test_minus_zero_equals_zero_but_keeps_its_sign_on_the_wire() -> None:
    assert canonical(encode(-0.0)) == canonical(encode(0.0))
    assert math.copysign(1, decode(encode(-0.0))) == -1  # type: ignore[arg-type]  # a float


@pytest.mark.parametrize("value", ["\ud800", "\x00\n", "☃", 10**400, -(2**53), math.inf, -math.inf])
def test_odd_scalars_survive(value: object) -> None:
    assert decode(loads(dumps(encode(value)))) == value


@pytest.mark.parametrize("value", [object(), len, int, iter([1]), range(3), [1, [object()]], {"a": {1}.__iter__}])
def test_what_is_not_data_is_opaque(value: object) -> None:
    assert opaque_in(encode(value)) is not None


def test_an_opaque_value_equals_nothing() -> None:
    value = decode(encode(object()))
    assert isinstance(value, Opaque)
    assert value != value


def test_a_subclass_crosses_as_the_builtin_type_without_running_its_code() -> None:
    assert decode(encode(Liar(7))) == 7
    assert type(decode(encode(Liar(7)))) is int
    assert decode(encode(LiarList([1, 2]))) == [1, 2]
    assert decode(encode(Yes.ONE)) == 1
    assert decode(encode(collections.Counter("aab"))) == {"a": 2, "b": 1}


def test_a_value_that_holds_itself_is_opaque() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert opaque_in(encode(endless)) == "value too deep"


def test_a_value_that_shares_its_parts_cannot_grow_without_bound() -> None:
    doubled: list[object] = [0]
    for _ in range(60):
        doubled = [doubled, doubled]
    assert opaque_in(encode(doubled, max_bytes=1 << 16)) == "value too large"


def test_the_deepest_allowed_value_comes_back() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = {1: value}
    tree = encode(value)
    assert decode(loads(dumps(tree))) == value
    assert canonical(tree)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"NaN", b"\xff", b"[" * 100_000, b"1" * 5000, b'{"t":[1]} x', b'"' + b"\\ud8" + b'"']
)
def test_a_malformed_line_is_a_codec_error(line: bytes) -> None:
    with pytest.raises(CodecError):
        loads(line)


@pytest.mark.parametrize(
    "tree",
    [{}, {"t": [], "s": []}, {"zz": 1}, {"d": [[1]]}, {"d": 1}, {"i": 5}, {"f": "1"}, {"c": [1.0]}, {"s": "ab"}],
)
def test_a_malformed_tree_is_a_codec_error(tree: Tree) -> None:
    with pytest.raises(CodecError):
        decode(tree)


@pytest.mark.parametrize(
    "tree", [{"c": [1e999, 0.0]}, {"b": "0"}, {"b": "ü"}, {"i": ""}, {"i": "0x"}, {"o": 1}, {"h": 0}, {"d": {"t": []}}]
)
def test_more_malformed_trees_are_codec_errors(tree: Tree) -> None:
    if tree == {"c": [1e999, 0.0]}:
        assert decode(tree) == complex(math.inf, 0)
    else:
        with pytest.raises(CodecError):
            decode(tree)


def test_a_handle_is_looked_up_by_its_number_and_only_where_there_are_any() -> None:
    assert decode([{"h": 3}, {"t": [{"h": 4}]}], lambda number: f"number {number}") == ["number 3", ("number 4",)]
    with pytest.raises(CodecError, match="unknown tag 'h'"):
        decode({"h": 3})


@quickly
@given(JSON_TREES)
def test_decoding_any_json_at_all_gives_a_value_or_a_codec_error(tree: Tree) -> None:
    with suppress(CodecError):
        decode(tree)
    with suppress(CodecError):
        decode(tree, lambda number: number)


@quickly
@given(JSON_TREES)
def test_comparing_any_json_at_all_gives_bytes_or_a_codec_error(tree: Tree) -> None:
    with suppress(CodecError):
        assert isinstance(canonical(tree), bytes)
    with suppress(CodecError):
        opaque_in(tree)


def test_a_number_too_large_for_a_float_is_a_codec_error() -> None:
    for line in (b"1e999", b"[-1e999]"):
        with pytest.raises(CodecError):
            loads(line)


@quickly
@given(
    st.binary(max_size=200) | JSON_TREES.map(dumps).flatmap(lambda line: st.builds(_damaged, st.just(line), st.data()))
)
def test_any_bytes_at_all_are_a_tree_or_a_codec_error(line: bytes) -> None:
    with suppress(CodecError):
        loads(line)


def _damaged(line: bytes, data: st.DataObject) -> bytes:
    """The line with a few bytes changed."""
    place = data.draw(st.integers(0, len(line)))
    return line[:place] + data.draw(st.binary(max_size=3)) + line[place + data.draw(st.integers(0, 3)) :]


@pytest.mark.parametrize("opening", [b"[", b'{"t":', b'{"d":[[', b'{"s":['])
def test_depth_alone_never_breaks_anything(opening: bytes) -> None:
    closing = opening.replace(b"[", b"]").replace(b"{", b"}")[::-1]
    for depth in (10, 100, 200, 400, 900, 5000):
        with suppress(CodecError):
            tree = loads(depth * opening + b"1" + depth * b"".join(re.findall(rb"[]}]", closing)))
            with suppress(CodecError):
                decode(tree)
            with suppress(CodecError):
                canonical(tree)
