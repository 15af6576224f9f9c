"""Where positions begin: at 0 or at 1."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_RETURNS_INDEX = re.compile(
    r"\b(?:find|return|get|give|locate)s? (?:the |its |an? |any )?(?:\w+ ){0,2}(?:index|position|indices|positions)\b",
    re.IGNORECASE,
)
_COUNTS = re.compile(r"\bnumber of (?:\w+ ){0,2}(?:index|indices|positions?)\b", re.IGNORECASE)  # no position
_PHRASE = re.compile(
    r",? ?\(?\b(?:0|1|zero|one)[- ](?:indexed|based|index)\b\)?(?: array| integer array| list| string)?", re.IGNORECASE
)
_TOLD = (
    r"\b[01]-?(indexed|based)|\bfrom [01]\b|index 0|\[0\]|\bcount\w* from\b|n - 1\b|starting (at|from|with) [01]|"
    r"\b(building|cell|city|column|day|house|index|node|person|place|player|position|room|row|seat|step|stone) 0\b"
)


def find(subject: Subject) -> Iterator[Uncertain]:
    if not subject.all_outputs(int) or sum(output >= 0 for output in subject.outputs) < 3:  # type: ignore[operator]  # ints
        return
    text = _PHRASE.sub("", subject.sentence)
    if not _RETURNS_INDEX.search(text) or _COUNTS.search(text) or re.search(_TOLD, text, re.IGNORECASE):
        return
    one_based = bool(re.search(r"\b1[- ](indexed|based)\b", subject.sentence))
    shift = ("result + 1 if result >= 0 else result", "result")
    if one_based:
        shift = ("result", "result - 1 if result > 0 else result")
    yield Uncertain(
        kind="index_base",
        readings=(
            Reading("from 0", "Positions count from 0.", ("From 0.", "The first one is 0."), result=shift[1]),
            Reading("from 1", "Positions count from 1.", ("From 1.", "The first one is 1."), result=shift[0]),
        ),
        default=0,
        base=text,
        questions=(
            "Do positions count from 0 or from 1?",
            "Is the first position 0 or 1?",
            "Should the index be zero-based?",
        ),
        blurs=(
            "Count positions in the usual way.",
            "Number the positions as our other functions do.",
            "Positions count from 0 or from 1.",
        ),
        given_away=_TOLD,
        about="index position zero one base count start first",
    )
