"""Variants that were made before, by `clarify-rl data make`: proved once, used by many runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clarify_rl.errors import DataError
from clarify_rl.problems.reading import read_rows
from clarify_rl.records import from_record
from clarify_rl.registry import source
from clarify_rl.types import Problem, Skipped, Variant


@source("made")
@dataclass(frozen=True)
class Made:
    """`path`: the file that `clarify-rl data make` wrote."""

    path: str

    def read(self) -> Iterator[Problem | Skipped]:
        """The complete problems, once each."""
        seen: set[str] = set()
        for variant in self.variants():
            if variant.problem.id not in seen:
                seen.add(variant.problem.id)
                yield variant.problem

    def variants(self) -> Iterator[Variant]:
        """All variants, in the file's order. Raises DataError for a line that is none."""
        if not Path(self.path).is_file():
            raise DataError(f"No file {self.path}. Make it: clarify-rl data make SOURCE --out {self.path}")
        for row in read_rows(self.path):
            if isinstance(row, Skipped):
                raise DataError(f"{row.where}: {row.why}. Make the file again.")
            yield from_record(Variant, row.fields)
