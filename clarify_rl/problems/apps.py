"""APPS (Hendrycks et al. 2021, arXiv 2105.09938; MIT): folders of problems, or the hub's rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clarify_rl.errors import DataError
from clarify_rl.problems.reading import Row, read_rows
from clarify_rl.problems.rows import hidden_tests
from clarify_rl.registry import source
from clarify_rl.types import Problem, Skipped

HUB_NAME = "codeparrot/apps"
_FILES = {"question": "question.txt", "solutions": "solutions.json", "input_output": "input_output.json"}


@source("apps")
@dataclass(frozen=True)
class APPS:
    """`path`: the folder with a folder for each problem, a .jsonl file of the hub's rows, or the hub's name.

    `difficulty`: introductory, interview, competition, or all. Of a problem's solutions the first is its reference.
    """

    path: str = HUB_NAME
    split: str = "train"
    difficulty: tuple[str, ...] = ()

    def read(self) -> Iterator[Problem | Skipped]:
        rows = _folders(Path(self.path)) if Path(self.path).is_dir() else read_rows(self.path, split=self.split)
        for row in rows:
            if isinstance(row, Skipped):
                yield row
            elif not self.difficulty or row.fields.get("difficulty") in self.difficulty:
                yield _problem(row)


def _folders(folder: Path) -> Iterator[Row | Skipped]:
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        texts = {name: path / file for name, file in _FILES.items()}
        fields = {name: file.read_text(encoding="utf-8") for name, file in texts.items() if file.is_file()}
        metadata = path / "metadata.json"
        more = json.loads(metadata.read_text(encoding="utf-8")) if metadata.is_file() else {}
        yield Row(str(path), {"problem_id": path.name, **more, **fields})


def _problem(row: Row) -> Problem | Skipped:
    try:
        tests, solutions = _json(row, "input_output"), _json(row, "solutions")
        if not isinstance(tests, Mapping) or not isinstance(solutions, list) or not solutions:
            raise DataError("no tests, or no solution")
        entry = str(tests.get("fn_name") or "")
        return Problem(
            id=f"APPS/{row.fields.get('problem_id', row.fields.get('id', ''))}",
            prompt=row.text("question").strip(),
            entry_point=entry,
            tests=hidden_tests(tests, entry, stdio=not entry),
            solution=str(solutions[0]).replace("\r", "").rstrip() + "\n",
            source="APPS",
        )
    except DataError as error:
        return Skipped(row.where, str(error))


def _json(row: Row, name: str) -> Any:  # Any: JSON
    value = row.fields.get(name)
    try:
        return json.loads(value) if isinstance(value, str) and value.strip() else value
    except ValueError as error:
        raise DataError(f"field {name!r} is not JSON: {error}") from error
