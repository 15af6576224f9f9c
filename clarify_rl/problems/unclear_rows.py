"""Statements that others made unclear, by the names of their fields: ClarEval's, Orchid's, or a file of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clarify_rl.errors import ConfigError, DataError, unknown_name
from clarify_rl.problems.hidden_facts import hidden_facts
from clarify_rl.problems.reading import Row, read_rows
from clarify_rl.problems.rows import Rows
from clarify_rl.registry import source
from clarify_rl.types import Defect, Fact, Problem, Skipped, Variant
from clarify_rl.wording import stems


@source("unclear_rows")
@dataclass(frozen=True)
class UnclearRows(Rows):
    """Each row holds a complete statement with its tests, as for `rows`, and the same made unclear, in field `unclear`.

    `kind`: the field that says how, e.g. ambiguous or incomplete+inconsistent; `kinds` turns other words into these
    ({vagueness: ambiguous}), and a row without one is ambiguous. `facts`: the field with what is hidden, a list of
    sentences or of {statement, questions, answers}; without it, what the unclear statement lost or changed. Rows with
    one complete statement belong to one problem, whose clear statement stands before them.
    """

    unclear: str = "unclear"
    kind: str = "kind"
    kinds: Mapping[str, str] = field(default_factory=dict)
    facts: str = "facts"
    name: str = "unclear_rows"

    def __post_init__(self) -> None:
        super().__post_init__()
        for word in self.kinds.values():
            try:
                _defects(word)
            except DataError as error:
                raise ConfigError(f"unclear_rows: kinds: {error}") from None

    def read(self) -> Iterator[Problem | Skipped]:
        """The complete problems, once each."""
        seen: set[str] = set()
        for item in self._rows():
            if isinstance(item, Skipped):
                yield item
            elif item.problem.id not in seen:
                seen.add(item.problem.id)
                yield item.problem

    def variants(self) -> Iterator[Variant]:
        """For each problem its clear statement, then the unclear ones. Rows that cannot be used are left out."""
        seen: set[str] = set()
        for item in self._rows():
            if isinstance(item, Variant):
                if item.problem.id not in seen:
                    seen.add(item.problem.id)
                    yield Variant(f"{item.problem.id}/clear", item.problem, item.problem.prompt)
                yield item

    def _rows(self) -> Iterator[Variant | Skipped]:
        problems: dict[str, Problem] = {}  # by their statement
        for number, row in enumerate(read_rows(self.path, split=self.split, subset=self.subset), start=1):
            if isinstance(row, Skipped):
                yield row
                continue
            statement = str(row.fields.get(self.statement))
            problem = problems.get(statement) or self._problem(row, number)
            if isinstance(problem, Skipped):
                yield problem
                continue
            problems[statement] = problem
            try:
                yield self._variant(row, number, problem)
            except DataError as error:
                yield Skipped(row.where, str(error))

    def _variant(self, row: Row, number: int, problem: Problem) -> Variant:
        shown = row.text(self.unclear)
        said = str(row.fields.get(self.kind) or Defect.AMBIGUOUS)
        defects = _defects(self.kinds.get(said, said))
        only = defects[0] if len(defects) == 1 else None
        given = row.fields.get(self.facts)
        facts = _given(given, only) if given else hidden_facts(problem.prompt, shown, problem.entry_point, only)
        kind = "+".join(defects)
        return Variant(f"{problem.id}/{number}/{kind}", problem, shown, kind, facts)


def _defects(kind: str) -> tuple[Defect, ...]:
    """The defects in e.g. ambiguous+incomplete, in their order."""
    known = {str(defect): defect for defect in Defect}
    words = [word.strip().lower() for word in kind.split("+")]
    for word in words:
        if word not in known:
            raise DataError(unknown_name("kind", word, known) + " Other words: kinds={WORD: ambiguous}")
    return tuple(known[word] for word in sorted(set(words)))


def _given(facts: object, defect: Defect | None) -> tuple[Fact, ...]:
    if not isinstance(facts, list):
        raise DataError(f"facts should be a list, found {type(facts).__name__} {str(facts)[:40]!r}")
    return tuple(_fact(f"fact-{number}", item, defect) for number, item in enumerate(facts, start=1))


def _fact(name: str, item: Any, defect: Defect | None) -> Fact:  # Any: JSON
    fields = {"statement": item} if isinstance(item, str) else item
    if not isinstance(fields, Mapping) or not isinstance(fields.get("statement"), str):
        raise DataError(f"a fact should be a sentence, or hold one in 'statement': {str(item)[:60]!r}")
    statement = fields["statement"]
    questions, answers = (_texts(fields.get(plural)) for plural in ("questions", "answers"))
    about = stems(" ".join([statement, *questions]))
    return Fact(name, defect, statement, questions=questions, answers=answers, about=tuple(sorted(about)))


def _texts(given: object) -> tuple[str, ...]:
    texts: Sequence[object] = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return tuple(map(str, texts))
