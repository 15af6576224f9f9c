"""Problems of one's own: any JSON lines, JSON list or hub data set, by the names of its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clarify_rl.errors import ConfigError, DataError
from clarify_rl.problems.programs import as_pairs, called_function, functions, preceding
from clarify_rl.problems.reading import Row, read_rows
from clarify_rl.registry import source
from clarify_rl.types import Assertions, Case, HiddenTests, Problem, Skipped, Stdio, StdioCase, Tests


@source("rows")
@dataclass(frozen=True)
class Rows:
    """`path` is a file or a hub data set; the other options name its fields. One that a row lacks is found or left out.

    `tests` may hold assertions (a list of texts, or one text with `assert` lines or a `check(candidate)`), pairs
    (`[{"input": [1, 2], "output": 3}, ...]`, `[[[1, 2], 3], ...]`, or `{"inputs": [...], "outputs": [...]}`), or texts
    for programs that read and print, in the same two forms with texts in place of arguments, where there is no
    `entry_point` field and `stdio` is true.
    """

    path: str
    statement: str = "statement"
    tests: str = "tests"
    reference: str = "solution"
    entry_point: str = "entry_point"
    id: str = "id"
    setup: str = "setup"
    stdio: bool = False
    split: str = ""
    subset: str = ""
    name: str = "rows"

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("rows: name the file or data set, e.g. path=mine.jsonl.")

    def read(self) -> Iterator[Problem | Skipped]:
        for number, row in enumerate(read_rows(self.path, split=self.split, subset=self.subset), start=1):
            yield row if isinstance(row, Skipped) else self._problem(row, number)

    def _problem(self, row: Row, number: int) -> Problem | Skipped:
        try:
            statement, reference = row.text(self.statement), row.text(self.reference)
            given = row.fields.get(self.tests)
            if given is None:
                raise DataError(f"field {self.tests!r} is missing; the fields are {row.names()}")
            entry = "" if self.stdio else self._entry_point(row, reference, given)
            return Problem(
                id=f"{self.name}/{row.fields.get(self.id, number)}",
                prompt=statement,
                entry_point=entry,
                tests=hidden_tests(given, entry, str(row.fields.get(self.setup) or ""), stdio=self.stdio),
                solution=reference.replace("\r", "").rstrip() + "\n",
                source=self.name,
                prelude="" if self.stdio else preceding(statement, entry),
            )
        except DataError as error:
            return Skipped(row.where, str(error))

    def _entry_point(self, row: Row, reference: str, tests: object) -> str:
        """The field where there is one, else what the tests call, else the reference's only function."""
        if name := row.fields.get(self.entry_point):
            return str(name)
        checks = _texts(tests)
        if checks and "candidate" not in " ".join(checks):
            return called_function(reference, checks)
        defined = list(functions(reference))
        if len(defined) == 1:
            return defined[0]
        raise DataError(
            f"field {self.entry_point!r} is missing, and the reference defines {len(defined)} functions, so which one "
            "to call is open"
        )


def hidden_tests(given: Any, entry_point: str, setup: str = "", *, stdio: bool = False) -> HiddenTests:  # Any: JSON
    """Tests in any of the forms that Rows names. DataError says which form was found and cannot be read."""
    checks = _texts(given)
    if checks and not stdio:
        return _assertions(checks, entry_point, setup)
    pairs = _pairs(given)
    if not pairs:
        raise DataError(f"tests in a form that is not known: {str(given)[:60]!r}")
    if stdio:
        if not all(isinstance(side, str) for pair in pairs for side in pair):
            raise DataError("a program that reads and prints needs texts as inputs and outputs")
        return Stdio(tuple(StdioCase(stdin, stdout) for stdin, stdout in pairs))
    cases = [Case(tuple(given) if isinstance(given, list) else (given,), due) for given, due in pairs]
    return Tests(tuple(cases))


def _assertions(checks: Sequence[str], entry_point: str, setup: str) -> HiddenTests:
    whole = "\n".join(checks)
    if "def check(" in whole:
        return Assertions(("check(candidate)",), f"{setup}\n{whole}".strip())
    if len(checks) == 1 and whole.count("assert ") > 1:
        checks = [line.strip() for line in whole.splitlines() if line.strip().startswith("assert ")]
    pairs = as_pairs(checks, [entry_point, "candidate"]) if not setup else None
    return pairs or Assertions(tuple(checks), setup)


def _texts(given: object) -> list[str]:
    """Assertions as texts, or [] where the tests are in another form."""
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return [text for text in texts if text.strip()] if any("assert" in text for text in texts) else []
    return []


_IN, _OUT = ("input", "args", "stdin", "inputs"), ("output", "expected", "stdout", "outputs")


def _pairs(given: object) -> list[tuple[Any, Any]]:  # Any: JSON
    if isinstance(given, Mapping):
        inputs, outputs = (next((given[name] for name in names if name in given), None) for names in (_IN, _OUT))
        if isinstance(inputs, list) and isinstance(outputs, list) and len(inputs) == len(outputs):
            return list(zip(inputs, outputs, strict=True))
        return []
    pairs = []
    for item in given if isinstance(given, list) else []:
        if isinstance(item, Mapping):
            names = [next((name for name in known if name in item), "") for known in (_IN, _OUT)]
            if not all(names):
                return []
            pairs.append((item[names[0]], item[names[1]]))
        elif isinstance(item, list) and len(item) == 2:
            pairs.append((item[0], item[1]))
        else:
            return []
    return pairs
