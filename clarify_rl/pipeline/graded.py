"""What a judge said of first replies, kept in the run folder: grades/CHECKPOINT-SUITE.jsonl, by episode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from clarify_rl.evaluation.grades import Grade
from clarify_rl.store import Run, read_rows, write_atomically


def write_grades(run: Run, checkpoint: str, suite: str, grades: Mapping[str, Grade]) -> None:
    """Keeps what a judge said of a checkpoint's first replies on a suite, by episode."""
    rows = [json.dumps({"episode": name, **asdict(grade)}) + "\n" for name, grade in grades.items()]
    path = _path(run, checkpoint, suite)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, "".join(rows))


def read_grades(run: Run, checkpoint: str, suite: str) -> dict[str, Grade]:
    """The grades on record, by episode; none where nobody graded."""
    path = _path(run, checkpoint, suite)
    rows = read_rows(path) if path.is_file() else iter(())
    return {str(row["episode"]): Grade(bool(row["asks"]), int(str(row["grade"]))) for row in rows}


def _path(run: Run, checkpoint: str, suite: str) -> Path:
    return run.folder / "grades" / f"{checkpoint}-{suite}.jsonl"
