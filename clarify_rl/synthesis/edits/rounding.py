"""How exact a fractional result is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_TOLD = r"\b(round\w*|decimal\w*|floor|ceil\w*|integer|whole|trunc\w*|precision|nearest|percent\w*|10\^-5|within)\b"


def find(subject: Subject) -> Iterator[Uncertain]:
    numbers = [output for output in subject.outputs if type(output) is float]
    if len(numbers) < len(subject.outputs) or not all(map(math.isfinite, numbers)):
        return
    if sum(round(number, 2) != number for number in numbers) < 3 or max(map(abs, numbers)) > 1e6:
        return
    if re.search(_TOLD, subject.sentence, re.IGNORECASE):
        return
    yield Uncertain(
        kind="rounding",
        readings=(
            Reading("exact", "Do not round the result.", ("Do not round it.", "Return it as it is, unrounded.")),
            Reading(
                "two decimals",
                "Round the result to two decimals.",
                ("Yes, to two decimals.", "Round it to 2 decimals."),
                result="round(result, 2)",
                blurs=("Round the result, or cut it off.",),
            ),
            Reading(
                "whole",
                "Cut off the fraction and return a whole number.",
                ("Cut off the fraction and return an integer.", "A whole number: drop what is behind the point."),
                result="int(result)",
                blurs=("Round the result, or cut it off.",),
            ),
        ),
        default=0,
        base=subject.sentence,
        questions=(
            "Should the result be rounded, and to how many decimals?",
            "How exact should the result be?",
            "Do you want a rounded number or the exact one?",
        ),
        blurs=(
            "Return a reasonably rounded number.",
            "Do not return more digits than make sense.",
        ),
        given_away=_TOLD,
        about="round rounded decimal digits exact precision whole fraction integer",
    )
