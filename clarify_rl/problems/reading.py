"""Rows of problem sets: JSON lines (also gzipped), a JSON list, or a data set on the hub, one row at a time.

A line that cannot be read is told by its file and number, and the rest goes on.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clarify_rl.errors import DataError
from clarify_rl.types import Skipped

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Row:
    """One row with the place it comes from, for messages."""

    where: str
    fields: Mapping[str, Any]  # Any: JSON

    def text(self, name: str) -> str:
        """A field that must hold text. DataError says what it holds."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value.strip():
            found = "nothing" if not value else f"{type(value).__name__} {str(value)[:40]!r}"
            raise DataError(f"field {name!r} should hold text, found {found}; the fields are {self.names()}")
        return value

    def names(self) -> str:
        return ", ".join(sorted(self.fields)) or "none"


def read_rows(source: str, *, split: str = "", subset: str = "") -> Iterator[Row | Skipped]:
    """The rows of a file, or of a data set on the hub (`subset` and `split` are the hub's). Streams both.

    Raises DataError when there is nothing to read at all.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return _json_list(path) if path.suffix == ".json" else _json_lines(path)
    if path.exists() or not _HUB_NAME.fullmatch(source) or path.suffix in (".jsonl", ".json", ".gz"):
        raise DataError(f"No file {source}. Give a .jsonl, .jsonl.gz or .json file, or a data set's name on the hub.")
    return _hub(source, split, subset)


def _json_lines(path: Path) -> Iterator[Row | Skipped]:
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parsed(line, f"{path}, line {number}")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read behind line {number}: {error}. Download it again.") from error


def _parsed(line: bytes, where: str) -> Row | Skipped:
    try:
        fields = json.loads(line)
    except ValueError as error:
        return Skipped(where, f"not JSON: {error}")
    return Row(where, fields) if isinstance(fields, dict) else Skipped(where, "not an object of fields")


def _json_list(path: Path) -> Iterator[Row | Skipped]:
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}. JSON lines belong into a .jsonl file.") from error
    if not isinstance(rows, list):
        raise DataError(f"{path} holds a {type(rows).__name__}, not a list of problems.")
    for number, fields in enumerate(rows, start=1):
        where = f"{path}, item {number}"
        yield Row(where, fields) if isinstance(fields, dict) else Skipped(where, "not an object of fields")


def _hub(name: str, split: str, subset: str) -> Iterator[Row | Skipped]:
    from datasets import load_dataset

    try:
        loaded = load_dataset(name, subset or None, split=split or None, streaming=True)
        parts = loaded.items() if isinstance(loaded, dict) else [(split, loaded)]
        for part, rows in parts:
            for number, fields in enumerate(rows, start=1):
                yield Row(f"{name}, {part} row {number}", fields)
    except Exception as error:  # the hub's client raises a dozen unrelated types; all mean the same to the user
        raise DataError(
            f"The hub's data set {name!r} could not be read ({type(error).__name__}: {error}). Check the name and the "
            "network, or download it and give the file's path."
        ) from error
