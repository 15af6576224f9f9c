"""Dataclasses of types.py as JSON records and back; values of tests keep their Python types."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from clarify_rl.errors import DataError
from clarify_rl.executor.codec import decode, encode
from clarify_rl.types import Raises

T = TypeVar("T")


def to_record(datum: object) -> dict[str, Any]:  # Any: JSON
    """A JSON-ready record of a dataclass."""
    return {name: _dump(getattr(datum, name), hint) for name, hint in _fields(cast(Hashable, type(datum))).items()}


def from_record(kind: type[T], record: Mapping[str, Any]) -> T:  # Any: JSON
    """The dataclass of a record. Raises DataError when a field is missing or of the wrong kind."""
    try:
        known = {
            name: _load(record[name], hint) for name, hint in _fields(cast(Hashable, kind)).items() if name in record
        }
        return kind(**known)
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"Not a {kind.__name__}: {error} in {str(dict(record))[:200]}") from None


@cache
def _fields(kind: Hashable) -> dict[str, Any]:  # Any: type hints
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(cast(Any, kind))}


def _dump(value: Any, hint: Any) -> Any:  # Any: JSON and type hints
    if hint is object:
        return {"raises": value.exception} if isinstance(value, Raises) else {"value": encode(value)}
    if dataclasses.is_dataclass(value):
        record = to_record(value)
        kinds = _dataclasses_of(hint)
        return record if len(kinds) < 2 or type(value) is kinds[0] else {"type": type(value).__name__, **record}
    if isinstance(value, tuple):
        inner = get_args(_not_none(hint))[0]
        return [_dump(item, inner) for item in value]
    return value.value if isinstance(value, Enum) else value


def _load(value: Any, hint: Any) -> Any:  # Any: JSON and type hints
    if hint is object:
        return Raises(value["raises"]) if "raises" in value else decode(value["value"])
    if value is None:
        return None
    kinds = _dataclasses_of(hint)
    if len(kinds) > 1:
        named = value.get("type", kinds[0].__name__)
        kind = next((candidate for candidate in kinds if candidate.__name__ == named), None)
        if kind is None:
            raise ValueError(f"unknown type {named!r}")
        return from_record(kind, value)
    hint = _not_none(hint)
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return tuple(_load(item, inner) for item in value)
    if dataclasses.is_dataclass(hint):
        return from_record(cast(type[object], hint), value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value


def _dataclasses_of(hint: Any) -> list[type[Any]]:  # Any: type hints
    """The dataclasses of a union. A record names its own unless it is of the first."""
    if get_origin(hint) not in (Union, UnionType):
        return []
    return [item for item in get_args(hint) if isinstance(item, type) and dataclasses.is_dataclass(item)]


def _not_none(hint: Any) -> Any:  # Any: type hints
    """The hint without `| None`."""
    if get_origin(hint) in (Union, UnionType):
        return next(item for item in get_args(hint) if item is not type(None))
    return hint
