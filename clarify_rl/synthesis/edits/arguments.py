"""In which order two arguments of the same type come."""

from __future__ import annotations

from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Task, Uncertain

MARK = "{call}"  # the call line is what this fact hides


def find(task: Task) -> Iterator[Uncertain]:
    if len(task.parameters) != 2 or not all(len(args) == 2 for args in task.inputs):
        return
    first, second = task.parameters
    if (len(first) < 3 and len(second) < 3) or any(type(a) is not type(b) for a, b in task.inputs) is False:
        return
    name = task.entry_point
    yield Uncertain(
        kind="arguments",
        readings=(
            Reading(
                "as named",
                f"Call it {name}({first}, {second}).",
                (f"{name}({first}, {second}).", f"First {first}, then {second}."),
            ),
            Reading(
                "the other way round",
                f"Call it {name}({second}, {first}).",
                (f"{name}({second}, {first}).", f"First {second}, then {first}."),
                before=(f"{first}, {second} = {second}, {first}",),
            ),
        ),
        default=0,
        base=task.sentence,
        questions=(
            "Which arguments does the function take, and in which order?",
            "In what order do the arguments come?",
            "Which argument comes first?",
        ),
        blurs=(f"Call it {name}; it takes the two things named above.",),
        given_away=r"(?!)",
        about="argument parameter order first second take signature call input",
    )
