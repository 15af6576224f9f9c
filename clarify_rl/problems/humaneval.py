"""HumanEval (Chen et al. 2021, arXiv 2107.03374; MIT), or HumanEval+ (Liu et al. 2023): for evaluation only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clarify_rl.errors import DataError
from clarify_rl.problems.programs import preceding
from clarify_rl.problems.reading import Row, read_rows
from clarify_rl.registry import source
from clarify_rl.types import Assertions, Problem, Skipped

HUB_NAME = "openai/openai_humaneval"


@source("humaneval")
@dataclass(frozen=True)
class HumanEval:
    """`path`: HumanEval.jsonl (also gzipped), evalplus/humanevalplus or another file of its form, or the hub's name."""

    path: str = HUB_NAME

    def read(self) -> Iterator[Problem | Skipped]:
        for row in read_rows(self.path):
            yield row if isinstance(row, Skipped) else _problem(row)


def _problem(row: Row) -> Problem | Skipped:
    try:
        prompt, entry = row.text("prompt"), row.text("entry_point")
        given = preceding(prompt, entry)
        return Problem(
            id=row.text("task_id"),
            prompt=prompt,
            entry_point=entry,
            tests=Assertions(("check(candidate)",), f"{given}\n{row.text('test')}"),
            solution=prompt + row.text("canonical_solution"),
            source="HumanEval",
            prelude=given,
        )
    except DataError as error:
        return Skipped(row.where, str(error))
