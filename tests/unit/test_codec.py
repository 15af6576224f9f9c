"""The codec carries plain data unchanged, and nothing else."""

from __future__ import annotations

import collections
import enum
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarify_rl.executor.codec import MAX_DEPTH, CodecError, Opaque, Tree, decode, dumps, encode, loads, opaque_in
from clarify_rl.executor.compare import canonical

HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
VALUES = st.recursive(
    HASHABLE | st.complex_numbers(allow_nan=False) | st.integers(min_value=10**30) | st.sets(HASHABLE, max_size=4),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(HASHABLE, inner, max_size=5) | st.tuples(inner),
    max_leaves=12,
)


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


@given(VALUES)
def test_plain_data_comes_back_equal_and_of_the_same_type(value: object) -> None:
    back = decode(loads(dumps(encode(value))))
    assert back == value
    assert repr(back) == repr(value) or canonical(encode(back)) == canonical(encode(value))


@given(VALUES, VALUES)
def test_canonical_forms_differ_when_values_differ(left: object, right: object) -> None:
    if left != right:
        assert canonical(encode(left)) != canonical(encode(right))


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


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
        lambda t: st.lists(t) | st.dictionaries(st.text(), t),
    )
)
def test_comparing_any_json_at_all_gives_bytes_or_a_codec_error(tree: Tree) -> None:
    with suppress(CodecError):
        assert isinstance(canonical(tree), bytes)
