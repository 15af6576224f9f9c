"""In which container a sequence of results comes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_SAYS_TYPE = (
    r"\b(?:lists?|tuples?|arrays?|string|text|set|dictionary|comma) (?:of|containing|with)\b|"
    r"\b(?:as|into|in|returns?|to) an? (?:list|tuple|array|set|string)\b|"
    r"\breturn[^.\n]{0,40}\b(?:array|list|matrix|string|tuple)\b"
)

_EITHER = ("Return a list or a tuple.",)


def find(subject: Subject) -> Iterator[Uncertain]:
    if not subject.all_outputs(list, tuple) or sum(len(output) > 1 for output in subject.outputs) < 3:  # type: ignore[arg-type]  # lists and tuples
        return
    if any(len({type(item) for item in output}) > 1 for output in subject.outputs):  # type: ignore[attr-defined]  # as above
        return  # a pair of different things, not a collection
    if any(isinstance(item, list | dict) for output in subject.outputs for item in output):  # type: ignore[attr-defined]  # as above
        return  # what its items are would be open too
    plain = all(type(item) in (int, str) for output in subject.outputs for item in output)  # type: ignore[attr-defined]  # as above
    if re.search(_SAYS_TYPE, subject.sentence, re.IGNORECASE) or re.search(
        r"\b(convert|tuple|split)\b", subject.sentence
    ):
        return
    readings = [
        Reading("list", "Return a list.", ("A list.", "Give me a list."), result="list(result)", blurs=_EITHER),
        Reading(
            "tuple",
            "Return a tuple.",
            ("A tuple.", "A tuple, please, not a list."),
            result="tuple(result)",
            blurs=_EITHER,
        ),
    ]
    if plain:
        readings.append(
            Reading(
                "text",
                "Return one string, with commas between the items.",
                ("One string with commas between the items.", "Text: the items joined by commas."),
                result="','.join(map(str, result))",
            )
        )
    yield Uncertain(
        kind="result_type",
        readings=tuple(readings),
        default=int(
            bool(re.search(r"tuple", subject.sentence, re.IGNORECASE))
        ),  # a guesser takes what the text speaks of
        base=subject.sentence,
        questions=(
            "As what should the result be returned: a list, a tuple or text?",
            "Which type should the function return?",
            "Do you want a list, or another container?",
        ),
        blurs=(
            "Return the items in a suitable container.",
            "Hand the items back together.",
        ),
        given_away=_SAYS_TYPE,
        about="type list tuple string text container return result collection",
    )
