"""In which order the items of a result come."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import PICKS_ONE, Reading, Subject, Uncertain, any_word

_PHRASE = re.compile(
    r",? ?(?:sorted )?in (?:the )?(?:ascending|descending|increasing|decreasing|non-decreasing|non-increasing|sorted)"
    r" order(?: of values?)?",
    re.IGNORECASE,
)
_ORDERED = any_word(
    r"order sort\w* ascending descending increasing decreasing smallest largest first last revers\w* rotat\w* shift\w* "
    r"swap\w* k-?th nth top heap queue sequence arrang\w* merg\w* consecutive index indices position\w* permut\w* "
    r"pair\w* map lambda each add\w* subtract\w* multipl\w* divi\w* modulo two squares? cubes? corresponding "
    r"element-wise convert every flatten\w* sub-?lists? sub-?arrays? rows? columns? alternat\w*"
)
_PICKS = any_word(
    "find get extract filter list collect return common unique remove divisors factors primes numbers words elements"
)
_AS_FOUND = "Return them in the order in which they are found."


def find(subject: Subject) -> Iterator[Uncertain]:
    results = [output for output in subject.outputs if isinstance(output, list)]
    if len(results) < len(subject.outputs) or sum(len(set(map(repr, result))) > 1 for result in results) < 3:
        return
    if not all(type(item) in (int, str, float) for result in results for item in result):
        return
    if any(len({type(item) is str for item in result}) > 1 for result in results):
        return
    text = _PHRASE.sub("", subject.sentence)
    if re.search(r"\w\[\w+\]", text):  # which place holds what is told
        return
    words = f"{text} {subject.entry_point.replace('_', ' ')}"
    if re.search(_ORDERED, words, re.IGNORECASE) or not re.search(_PICKS, text, re.IGNORECASE):
        return
    if PICKS_ONE.search(text):
        return
    texts = any(isinstance(item, str) for result in results for item in result)
    up, down = ("alphabetical", "reverse alphabetical") if texts else ("ascending", "descending")
    either = (f"Return them in {up} or {down} order.",)
    readings = [
        Reading("as found", _AS_FOUND, ("In the order in which they are found.", "As they come.")),
        Reading(
            up,
            f"Return them in {up} order.",
            (f"In {up} order.", f"{up.capitalize()}."),
            result="sorted(result)",
            blurs=either,
        ),
        Reading(
            down,
            f"Return them in {down} order.",
            (f"In {down} order.", f"{down.capitalize()}."),
            result="sorted(result, reverse=True)",
            blurs=either,
        ),
    ]
    if all(result == sorted(result) for result in results):  # then it is the order in which they are found
        del readings[0]
    yield Uncertain(
        kind="order",
        readings=tuple(readings),
        default=0,
        base=text,
        questions=(
            "In which order should the results be returned?",
            "How should the result be sorted?",
            "Does the order of the items matter, and which one do you want?",
        ),
        blurs=(
            "Return them properly sorted.",
            "Put them into a sensible order.",
        ),
        given_away=_ORDERED,
        about="order sort sorted ascending descending alphabetical first last",
    )
