"""Files of variants that grow item by item: an interrupted command goes on, and ends with the same file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from clarify_rl.errors import DataError
from clarify_rl.records import to_record
from clarify_rl.types import Variant


class GrownFile:
    """Variants written for one item after another. FILE.done tells which items are decided, and what came of each.

    `counts` holds each decided item's number of variants, `notes` a sentence about those of which there is one to say;
    `variants` is the sum of the counts. A few hundred bytes an item are all that stays in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._marks = path, path.with_name(f"{path.name}.done")
        self.notes: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not self._marks.exists():
            raise DataError(f"{path} exists and was not made here. Choose another --out.")
        whole = self._read_marks() if self._marks.exists() else 0
        _cut(self._marks, whole)
        self.variants = sum(self.counts.values())
        _cut(path, self.variants)

    def _read_marks(self) -> int:
        """How many marks hold: the last may be cut short by an interruption, and variants may have been removed."""
        written, told = _whole_lines(self.path), 0
        for number, line in enumerate(self._marks.read_text(encoding="utf-8").splitlines(keepends=True)):
            if not line.endswith("\n"):
                return number
            name, count, note = json.loads(line)
            told += count
            if told > written:
                return number
            self._decide(name, count, note)
        return len(self.counts)

    def __enter__(self) -> GrownFile:
        self._file = self.path.open("a", encoding="utf-8")
        self._done = self._marks.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()
        self._done.close()

    def __contains__(self, name: object) -> bool:
        return name in self.counts

    def add(self, name: str, variants: Iterable[Variant], note: str = "") -> None:
        """Writes what was made for an item, then that it is decided."""
        lines = [json.dumps(to_record(variant)) + "\n" for variant in variants]
        self._file.writelines(lines)
        self._file.flush()
        self._done.write(json.dumps([name, len(lines), note]) + "\n")
        self._done.flush()
        self._decide(name, len(lines), note)
        self.variants += len(lines)

    def _decide(self, name: str, count: int, note: str) -> None:
        self.counts[name] = count
        if note:
            self.notes[name] = note


def _whole_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _cut(path: Path, lines: int) -> None:
    """Drops what stands behind the first `lines` lines."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        for _ in range(lines):
            file.readline()
        file.truncate()
