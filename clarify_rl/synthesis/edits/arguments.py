"""In which order two arguments come."""

from __future__ import annotations

from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain, call_line


def find(subject: Subject) -> Iterator[Uncertain]:
    if len(subject.parameters) != 2:
        return
    first, second = subject.parameters
    if min(len(first), len(second)) < 3 and {first, second} & set("abxymn"):
        return  # names that say nothing would be no answer
    if first.rstrip("0123456789") == second.rstrip("0123456789"):
        return  # nor would two of a kind
    as_named, turned = call_line(subject.entry_point, (first, second)), call_line(subject.entry_point, (second, first))
    yield Uncertain(
        kind="arguments",
        readings=(
            Reading("as named", as_named, (as_named.removeprefix("Call it "), f"First {first}, then {second}.")),
            Reading(
                "the other way round",
                turned,
                (turned.removeprefix("Call it "), f"First {second}, then {first}."),
                order=(1, 0),
            ),
        ),
        default=0,
        base=subject.sentence,
        questions=(
            "What signature should the function have?",
            "Which argument does the function take before the other?",
            "How are the arguments passed to it?",
        ),
        blurs=(
            f"Call it {subject.entry_point}; it takes the two things named above.",
            f"Call it {subject.entry_point}, with the two arguments in the usual order.",
        ),
        about="argument parameter take signature call passed before",
        calls=True,
    )
