"""HumanEvalComm's own metrics (Wu and Fard, arXiv 2406.00215), as its authors count them.

They differ from ours, which stand beside them: a reply that is truncated, empty or code without a fence counts as
communication, the grade of a question says nothing about code beside it, and originals are never asked about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.evaluation.recorded import Recording
from clarify_rl.types import Execution

GOOD = 3
_FENCED = re.compile(r"```.*\n[\s\S]+?\n```")


@dataclass(frozen=True)
class Published:
    """One model's row of the published table, in percent; None where nothing was graded or run.

    `communication_rate` is over the `counted` rows, the others are over all `rows`. `pass_at_1`: all tests of a row
    pass; `test_pass_rate`: the mean share that passes.
    """

    model: str
    rows: int
    counted: int
    communication_rate: float | None
    good_question_rate: float | None
    pass_at_1: float | None
    test_pass_rate: float | None


def communicates(reply: str) -> bool:
    """Whether a first reply counts as communication: it holds no fenced block."""
    return not _FENCED.search(reply)


def named_as_asked(code: str, entry_point: str) -> str:
    """The code with the name that is tested in place of `candidate`, as the benchmark's prompts call the function."""
    return code.replace("candidate(", f"{entry_point}(")


def as_executed(recording: Recording, entry_point: str) -> str:
    """The program as the authors run it: without the imports of the statement, with prints commented out.

    No function of another name stands for the one that is asked for. Where there is no final code, the first fenced
    block of the first reply is run.
    """
    first = recording.replies[0] if recording.replies else ""
    code = recording.code or parse_reply(first).code or ""
    return f"{named_as_asked(code, entry_point).replace('print(', '#print(')}\n{entry_point}\n"


def published(model: str, recordings: Sequence[Recording], executions: Sequence[Execution]) -> Published:
    """The row of one model, whose programs were run `as_executed`."""
    counted = [recording for recording in recordings if recording.counted]
    graded = any(recording.grade is not None for recording in recordings)
    measured = [execution for execution in executions if execution.measured]
    return Published(
        model,
        len(recordings),
        len(counted),
        _percent([communicates(recording.replies[0] if recording.replies else "") for recording in counted]),
        _percent([recording.grade == GOOD for recording in recordings]) if graded else None,
        _percent([execution.solved for execution in measured]),
        _percent([execution.passed / execution.total for execution in measured]),
    )


def _percent(values: Sequence[float]) -> float | None:
    return 100 * sum(values) / len(values) if values else None
