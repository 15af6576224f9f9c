"""Recorded dialogues of any model: what it said on the variants of a suite, without the model.

One JSON object a line, plain or gzipped:

    {"model": "gpt-x", "problem": "HumanEval/0", "category": "prompt1a",
     "first_reply": "Should I ...?", "answer": "Yes, ...", "final_code": "def f(): ..."}

`variant` may stand for `problem` and `category` (the original's is `prompt`), and `replies` with `answers` for the
three texts: every reply in order, and what was said between them; the code is then that of the last reply, unless
`final_code` says otherwise. Optional: `judge_quality` (a judge's grade of the questions: 3 good, 2 fair, 1 none),
`finished` (false for a last reply that was cut off), `in_published_rate` (false: not among the rows that
HumanEvalComm's authors count for the communication rate), `dup` (true: of a second run of the same model, which is
told apart as MODEL-2).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.errors import DataError

_FORM = (
    'A recording has "model", "problem" with "category" (or "variant"), and "first_reply" with "answer" and '
    '"final_code" (or "replies" with "answers")'
)


@dataclass(frozen=True)
class Recording:
    """One recorded dialogue. `answers[i]` followed `replies[i]`; `code` is what is run, None where there was none."""

    model: str
    variant: str
    replies: tuple[str, ...]
    answers: tuple[str, ...] = ()
    code: str | None = None
    grade: int | None = None
    finished: bool = True
    counted: bool = True


def read_recordings(path: Path) -> Iterator[Recording]:
    """The recordings of a file, in order. DataError names the line of one that cannot be read."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield _recording(row)
        except (ValueError, KeyError, TypeError) as error:
            said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{path}:{number} is no recording: {said}. {_FORM}.") from error


def _recording(row: Mapping[str, object]) -> Recording:
    if not isinstance(row, Mapping):
        raise TypeError(f"found a {type(row).__name__}, not an object")
    replies, answers = _said(row)
    code = row.get("final_code")
    if code is None:
        code = parse_reply(replies[-1], finished=bool(row.get("finished", True))).code if replies else None
    grade = str(row.get("judge_quality") or "")
    return Recording(
        model=f"{row['model']}-2" if row.get("dup") else str(row["model"]),
        variant=str(row["variant"]) if "variant" in row else f"{row['problem']}/{row['category']}",
        replies=replies,
        answers=answers,
        code=str(code) or None if code is not None else None,
        grade=int(grade) if grade.isdecimal() else None,
        finished=bool(row.get("finished", True)),
        counted=bool(row.get("in_published_rate", True)),
    )


def _said(row: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The replies and the answers between them. Code after an answer is a reply of its own."""
    if "replies" in row:
        replies, answers = row["replies"], row.get("answers", [])
        if (
            not isinstance(replies, list)
            or not isinstance(answers, list)
            or len(answers)
            not in (
                max(0, len(replies) - 1),
                len(replies),
            )
        ):
            raise ValueError("`replies` and `answers` are lists, with an answer behind each reply but the last")
        return tuple(map(str, replies)), tuple(map(str, answers[: max(0, len(replies) - 1)]))
    first, answer, code = str(row["first_reply"] or ""), str(row.get("answer") or ""), str(row.get("final_code") or "")
    if not answer:
        return (first,), ()
    return (first, f"```python\n{code}\n```" if code else ""), (answer,)
