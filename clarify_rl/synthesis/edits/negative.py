"""What becomes of a negative number where only natural ones make sense."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain, any_word

LONGEST = 160  # characters
_TOLD = (
    any_word(r"negative positive non-negative signed absolute invalid raise exception error natural sign guaranteed")
    + "|>= ?[01]|> ?0"
)
_NATURAL = any_word(
    r"number nth n'th n-th digits? sides? radius length height factorial fibonacci prime sum bits? square cube terms? "
    "year age triangle perimeter area volume"
)


def find(subject: Subject) -> Iterator[Uncertain]:
    if len(subject.sentence) > LONGEST:  # a long statement says elsewhere what its numbers are
        return
    if (
        len(subject.parameters) > 2
        or not re.search(_NATURAL, subject.sentence, re.IGNORECASE)
        or re.search(_TOLD, subject.sentence, re.IGNORECASE)
    ):
        return
    places = [
        i
        for i in range(len(subject.parameters))
        if all(len(args) > i and type(args[i]) is int and args[i] > 0 for args in subject.inputs)  # type: ignore[operator]  # an int
    ]
    if len(places) != 1 or subject.all_outputs(bool):
        return
    name = subject.parameters[places[0]]
    others = [[args[i] for i in range(len(args)) if i != places[0]] for args in subject.inputs]
    if any(isinstance(value, list | tuple | str) for values in others for value in values):
        return  # beside a list, a number is how many, not one of those numbers
    when = f"if {name} < 0:"
    yield Uncertain(
        kind="negative",
        readings=(
            Reading(
                "raise",
                f"Raise a ValueError if {name} is negative.",
                ("Raise a ValueError.", "That is a mistake: raise ValueError."),
                before=(when, f"    raise ValueError('{name} must not be negative')"),
                blurs=(f"Raise an error or return -1 if {name} is negative.",),
            ),
            Reading(
                "-1",
                f"Return -1 if {name} is negative.",
                ("Return -1.", "Return -1 in that case."),
                before=(when, "    return -1"),
                blurs=(f"Raise an error or return -1 if {name} is negative.",),
            ),
            Reading(
                "None",
                f"Return None if {name} is negative.",
                ("Return None.", "None, please."),
                before=(when, "    return None"),
                blurs=(f"Return None or -1 if {name} is negative.",),
            ),
        ),
        default=-1,
        base=subject.sentence,
        questions=(
            f"What should happen if {name} is negative?",
            f"Can {name} be below zero, and what should I do then?",
            f"How should a negative {name} be handled?",
        ),
        blurs=(
            f"Handle a negative {name} gracefully.",
            f"Do something sensible if {name} is negative.",
        ),
        given_away=_TOLD,
        inputs=tuple(_with(args, places[0], -number) for args in subject.inputs[:2] for number in (1, 2, 3, 7)),
        about=f"negative below zero invalid {name} minus",
    )


def _with(args: tuple[object, ...], place: int, value: object) -> tuple[object, ...]:
    return (*args[:place], value, *args[place + 1 :])
