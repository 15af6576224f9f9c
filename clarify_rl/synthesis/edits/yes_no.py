"""How a yes or no is told: True and False, words, or numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_ASKS = re.compile(r"\b(check|determine|find|tell|decide|verify|validate)\b[^.]*\b(whether|if)\b", re.IGNORECASE)
_RETURN_TRUE = re.compile(
    r"\b[Rr]eturn (?:`?true`?|True) if (?:and only if )?(?P<what>[^.]+?)"
    r"(?:,? (?:or|and|else|otherwise),? (?:return |returns )?`?[Ff]alse`?[^.]*)?\.",
    re.DOTALL,
)
_FALSE = re.compile(
    r"\s*(?:Otherwise|Else|If not),? return `?[Ff]alse`?\.|"
    r",? (?:or|and) (?:return )?`?[Ff]alse`? (?:otherwise|if not)\b"
)


def _determine(match: re.Match[str]) -> str:
    begins = not match.string[: match.start()].rstrip(" ") or match.string[: match.start()].rstrip(" ")[-1] in ".\n"
    return f"{'Determine' if begins else 'determine'} whether {match['what']}."


def find(subject: Subject) -> Iterator[Uncertain]:
    if not subject.all_outputs(bool) or len(set(subject.outputs)) < 2:
        return
    text = _FALSE.sub("", _RETURN_TRUE.sub(_determine, subject.sentence))
    if not _ASKS.search(text) or re.search(r"\b(true|false|yes|no|boolean)\b", text, re.IGNORECASE):
        return
    yield Uncertain(
        kind="yes_no",
        readings=(
            Reading("True or False", "Return True or False.", ("True or False.", "A boolean: True if so, else False.")),
            Reading(
                "Yes or No",
                "Return 'Yes' or 'No'.",
                ("The text 'Yes' or 'No'.", "I need the words: 'Yes' if so, 'No' if not."),
                result="'Yes' if result else 'No'",
                blurs=("Return a boolean, or a word that says so.",),
            ),
            Reading(
                "1 or 0",
                "Return 1 for yes and 0 for no.",
                ("1 for yes, 0 for no.", "A number: 1 if so, else 0."),
                result="1 if result else 0",
            ),
            Reading(
                "valid or invalid",
                "Return 'valid' or 'invalid'.",
                ("The word 'valid' if so, else 'invalid'.", "'valid' or 'invalid', as text."),
                result="'valid' if result else 'invalid'",
                blurs=("Return a boolean, or a word that says so.",),
            ),
        ),
        default=0,
        base=text,
        questions=(
            "What exactly should be returned: True or False, or something else?",
            "In which form do you want the verdict?",
            "Should it return a boolean, a word or a number?",
        ),
        blurs=(
            "Return the verdict in the usual form.",
            "Report the answer the way our other checks do.",
        ),
        given_away=r"\b(true|false|yes|boolean|bool)\b",
        about="return form boolean true false yes no word verdict type result format number",
    )
