"""Facts that many families share, so that asking about one carries over to families where nobody showed it."""

from __future__ import annotations

from collections.abc import Iterable

from clarify_rl.problems.bank.spec import FactSpec, Value, choice, number


def limit(values: Iterable[int]) -> FactSpec:
    """A number that values are held against; its value is the number."""
    return number(
        "limit",
        values,
        says=("The limit is {v}.", "Use {v} as the limit.", "The threshold is {v}.", "Take {v} for the threshold."),
        answers=("The limit is {v}.", "Use {v}.", "{v}."),
        vague=("Use a suitable limit.", "The threshold is the usual one.", "Pick a sensible threshold."),
        asks=("What is the limit?", "Which limit should I use?", "What is the threshold?", "Which threshold is meant?"),
    )


def inclusive() -> FactSpec:
    """Whether a value equal to the limit counts; True or False."""
    return choice(
        "inclusive",
        {
            True: (
                ("A value equal to it counts.", "Values exactly at it are included.", "The comparison is inclusive."),
                ("Yes, equal counts.", "Yes, inclusive.", "Equal values are included."),
            ),
            False: (
                ("A value equal to it does not count.", "Values exactly at it are excluded.", "The comparison is strict."),
                ("No, equal does not count.", "No, strict.", "Equal values are excluded."),
            ),
        },
        vague=("Treat values exactly at it properly.", "Handle equal values in the right way."),
        asks=("Does an equal value count?", "Are values exactly at it included?", "Is the comparison strict or inclusive?"),
    )


def order() -> FactSpec:
    """How a list result is ordered: asc, desc or kept (as in the input)."""
    return choice(
        "order",
        {
            "asc": (
                ("Return them in ascending order.", "Sort the result from low to high.", "The result is sorted ascending."),
                ("Ascending.", "Sorted from low to high.", "In ascending order."),
            ),
            "desc": (
                ("Return them in descending order.", "Sort the result from high to low.", "The result is sorted descending."),
                ("Descending.", "Sorted from high to low.", "In descending order."),
            ),
            "kept": (
                ("Keep the original order.", "Leave them in the order of the input.", "Do not sort the result."),
                ("Keep the original order.", "Not sorted, as in the input.", "In the original order."),
            ),
        },
        vague=("Return them in a good order.", "The result is ordered properly.", "Mind the order of the result."),
        asks=("In which order should I return them?", "Should the result be sorted, and how?", "What order is wanted?"),
    )


def duplicates() -> FactSpec:
    """What happens to repeated values: keep or drop (the first of each stays)."""
    return choice(
        "duplicates",
        {
            "keep": (
                ("Keep duplicates.", "Repeated values stay.", "Duplicates are kept."),
                ("Keep duplicates.", "Repeated values stay.", "They are kept."),
            ),
            "drop": (
                ("Remove duplicates.", "Repeated values appear only once.", "Duplicates are dropped."),
                ("Remove duplicates.", "Repeated values only once.", "They are dropped."),
            ),
        },
        vague=("Handle duplicates well.", "Deal with repeated values sensibly."),
        asks=("Should I keep duplicates?", "What about repeated values?", "Are duplicates removed or kept?"),
    )


def empty(options: tuple[Value, ...] = (0, -1, None), *, what: str = "list") -> FactSpec:
    """What the function does on empty input: the value that it returns, or the string "raise" for a ValueError."""

    def words(value: Value) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if value == "raise":
            return (
                (f"Raise a ValueError for an empty {what}.", f"If the {what} is empty, raise ValueError."),
                ("Raise a ValueError.", "It raises ValueError."),
            )
        return (
            (f"Return {value!r} for an empty {what}.", f"If the {what} is empty, return {value!r}."),
            (f"Return {value!r}.", f"Then it is {value!r}."),
        )

    return choice(
        "empty",
        {value: words(value) for value in options},
        vague=(f"Handle an empty {what} gracefully.", f"Mind that the {what} may be empty."),
        asks=(f"What if the {what} is empty?", f"What should I return for an empty {what}?"),
    )


def on_empty(choices_empty: Value, test: str) -> str:
    """The guard lines for `empty`: `test` is a Python condition such as `not xs`."""
    outcome = 'raise ValueError("empty")' if choices_empty == "raise" else f"return {choices_empty!r}"
    return f"    if {test}:\n        {outcome}"
