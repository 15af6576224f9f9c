"""Whether equal items of a result are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import PICKS_ONE, Reading, Subject, Uncertain, any_word

_TOLD = any_word(
    r"duplicat\w* unique distinct repeat\w* sets? frequen\w* count\w* occur\w* once different sort\w* revers\w* "
    r"rotat\w* square\w* each every all corresponding respective\w* index map\w* pair\w* permut\w* split swap merge "
    r"concat\w* convert shift multipl\w* add\w* consecutive sublists? nested flatten\w*"
)
_PICKS = re.compile(
    r"\b(find|get|extract|return|filter|select|remove|common|shared|list|numbers|words|elements)\b", re.IGNORECASE
)


def find(subject: Subject) -> Iterator[Uncertain]:
    results = [output for output in subject.outputs if isinstance(output, list)]
    if len(results) < len(subject.outputs) or not all(
        type(item) in (int, str) for result in results for item in result
    ):
        return
    if sum(len(set(result)) < len(result) for result in results) < 3 or not _PICKS.search(subject.sentence):
        return
    if re.search(_TOLD, subject.sentence, re.IGNORECASE):
        return
    if PICKS_ONE.search(subject.sentence):
        return
    if any(type(value) is int for args in subject.inputs for value in args):  # how many to pick: before or after?
        return
    yield Uncertain(
        kind="duplicates",
        readings=(
            Reading("kept", "Keep repeated items in the result.", ("Keep every one of them.", "Yes, keep repeats.")),
            Reading(
                "dropped",
                "Each item must stand in the result only once.",
                ("Each item only once, please.", "No repeats: keep the first one of each."),
                result="list(dict.fromkeys(result))",
            ),
        ),
        default=0,
        base=subject.sentence,
        questions=(
            "Should repeated items be kept in the result?",
            "If an item comes up several times, should it be in the result several times?",
            "Do you want duplicates in the result?",
        ),
        blurs=("Treat repeated items sensibly.", "Mind repeated items."),
        given_away=_TOLD,
        about="duplicate repeat repeated several times once keep unique",
    )
