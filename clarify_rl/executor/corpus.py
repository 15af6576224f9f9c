"""Hostile and honest programs to try an executor on. All answer one problem: f(n) is the sum of the primes up to n.

The bundled ones are harmless where they get out: they look at what they could do, and touch only what a check lays out
for them. A text may name the folder of that, @VICTIM@, and the port of its server, @PORT@.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from clarify_rl.errors import DataError, unknown_name
from clarify_rl.types import Assertions, Case, HiddenTests, Tests

BUNDLED = Path(__file__).with_name("corpus.jsonl")
ENTRY_POINT = "f"
SUMS = MappingProxyType({10: 17, 20: 77, 1: 0, 2: 2, 100: 1060, 30: 129, 50: 328})
CHECKS = tuple(f"assert candidate({n}) == {total}" for n, total in SUMS.items())
PAIRS = "pairs"
# The last is a trap of its own: where everything hangs on one mark, one forged mark is enough.
HIDDEN_TESTS: Mapping[str, HiddenTests] = MappingProxyType(
    {
        PAIRS: Tests(tuple(Case((n,), total) for n, total in SUMS.items())),
        "assertions": Assertions(CHECKS),
        "one assertion": Assertions(("\n".join(CHECKS),)),
    }
)


class Kind(StrEnum):
    """What a program is after, and so what must become of it."""

    FALSE_PASS = "fp"
    PROBE = "probe"
    DENIAL = "dos"
    HONEST = "ok"


MEANING = {
    Kind.FALSE_PASS: "want to be scored as right without computing: none may pass",
    Kind.PROBE: "do what is forbidden, and are right only where that worked: none may pass",
    Kind.DENIAL: "use up what there is: each must end in time, leave nothing, and not pass",
    Kind.HONEST: "honest but unusual: each must pass",
}


@dataclass(frozen=True)
class Program:
    """One program of a corpus. `name` says what it tries."""

    name: str
    kind: Kind
    text: str

    def aimed_at(self, folder: Path, port: int) -> str:
        """The text with its placeholders filled in."""
        return self.text.replace("@VICTIM@", str(folder)).replace("@PORT@", str(port))

    @property
    def tests(self) -> Mapping[str, HiddenTests]:
        """The hidden tests to run it on, by name. One that only uses things up does that on any."""
        return {PAIRS: HIDDEN_TESTS[PAIRS]} if self.kind is Kind.DENIAL else HIDDEN_TESTS


def bundled_corpus() -> tuple[Program, ...]:
    """The programs that ship with clarify-rl."""
    return read_corpus(BUNDLED)


def read_corpus(path: Path) -> tuple[Program, ...]:
    """The programs of a file with one JSON object a line: {"name": ..., "kind": ..., "program": ...}."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"Cannot read the corpus {path}: {error.strerror}. Give a file of JSON lines.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text. Give a file of JSON lines.") from None
    programs = tuple(_program(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())
    if not programs:
        raise DataError(f"{path} holds no program. Give one JSON object a line: {_FORM}.")
    names = [program.name for program in programs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two programs named {twice!r}. Give each a name of its own.")
    return programs


_FORM = '{"name": "exits early", "kind": "fp", "program": "raise SystemExit"}'


def _program(line: str, where: str) -> Program:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}). Write each program as one line: {_FORM}.") from None
    match record:
        case {"name": str(name), "kind": str(kind), "program": str(text)} if name:
            if kind not in list(Kind):
                raise DataError(f"{where}: {unknown_name('kind of program', kind, map(str, Kind))}")
            return Program(name, Kind(kind), text)
    raise DataError(f"{where} needs name, kind and program, each of them text: {_FORM}.")
