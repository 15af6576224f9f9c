"""Variants that were made before, by `clarify-rl data make`: proved once, used by many runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from clarify_rl.errors import ConfigError, DataError
from clarify_rl.problems.docstrings import as_docstring
from clarify_rl.problems.reading import read_rows
from clarify_rl.records import from_record
from clarify_rl.registry import source
from clarify_rl.seeds import derive_seed
from clarify_rl.types import Problem, Skipped, Variant


@source("made")
@dataclass(frozen=True)
class Made:
    """`path`: the file that `clarify-rl data make` wrote.

    `docstrings`: in what share of the problems the statement is a function's docstring, as HumanEval writes them; all
    variants of a problem are in one form, so that the form says nothing about what is missing.
    """

    path: str
    docstrings: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.docstrings <= 1:
            raise ConfigError(f"made: docstrings={self.docstrings} is a share, from 0 to 1.")

    def read(self) -> Iterator[Problem | Skipped]:
        """The complete problems, once each."""
        seen: set[str] = set()
        for variant in self.variants():
            if variant.problem.id not in seen:
                seen.add(variant.problem.id)
                yield variant.problem

    def variants(self) -> Iterator[Variant]:
        """All variants, in the file's order. Raises DataError for a line that is none."""
        if not self.docstrings:
            yield from self._as_made()
            return
        for _, together in groupby(self._as_made(), lambda variant: variant.problem.id.rpartition("/")[0]):
            yield from self._in_their_form(list(together))

    def _in_their_form(self, variants: list[Variant]) -> Iterator[Variant]:
        """The variants of one original problem: each of its clear statements and what was made of it in one form."""
        rewritten: dict[str, dict[str, str]] = {}
        for variant in variants:
            known = rewritten.setdefault(variant.problem.id, {})
            for text in (variant.prompt, variant.problem.prompt):
                known[text] = as_docstring(text) or "" if self._wants_docstring(variant.problem.id) else ""
        for variant in variants:
            known = rewritten[variant.problem.id]
            if not all(known.values()):
                yield variant
                continue
            problem = replace(variant.problem, prompt=known[variant.problem.prompt])
            yield replace(variant, prompt=known[variant.prompt], problem=problem)

    def _wants_docstring(self, problem: str) -> bool:
        return derive_seed("docstring", problem) % 1000 < 1000 * self.docstrings

    def _as_made(self) -> Iterator[Variant]:
        if not Path(self.path).is_file():
            raise DataError(f"No file {self.path}. Make it: clarify-rl data make SOURCE --out {self.path}")
        for row in read_rows(self.path):
            if isinstance(row, Skipped):
                raise DataError(f"{row.where}: {row.why}. Make the file again.")
            yield from_record(Variant, row.fields)
