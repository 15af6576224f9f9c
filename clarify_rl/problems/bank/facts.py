"""Facts that many families share, so that asking about one carries over to families where nobody showed it."""

from __future__ import annotations

from collections.abc import Iterable

from clarify_rl.problems.bank.spec import FactSpec, Value, choice, number, word


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
                (
                    "A value equal to it does not count.",
                    "Values exactly at it are excluded.",
                    "The comparison is strict.",
                ),
                ("No, equal does not count.", "No, strict.", "Equal values are excluded."),
            ),
        },
        vague=("Treat values exactly at it properly.", "Handle equal values in the right way."),
        asks=(
            "Does an equal value count?",
            "Are values exactly at it included?",
            "Is the comparison strict or inclusive?",
        ),
    )


def order() -> FactSpec:
    """How a list result is ordered: asc, desc or kept (as in the input)."""
    return choice(
        "order",
        {
            "asc": (
                (
                    "Return them in ascending order.",
                    "Sort the result from low to high.",
                    "The result is sorted ascending.",
                ),
                ("Ascending.", "Sorted from low to high.", "In ascending order."),
            ),
            "desc": (
                (
                    "Return them in descending order.",
                    "Sort the result from high to low.",
                    "The result is sorted descending.",
                ),
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


def amount(noun: str, values: Iterable[int]) -> FactSpec:
    """A number with a name of its own, such as a fee or a bonus; the fact's id is the noun."""
    return number(
        noun,
        values,
        says=(f"The {noun} is {{v}}.", f"Use {{v}} as the {noun}.", f"Take {{v}} for the {noun}."),
        answers=(f"The {noun} is {{v}}.", "Use {v}.", "{v}."),
        vague=(f"Use a suitable {noun}.", f"The {noun} is the usual one.", f"Choose a fair {noun}."),
        asks=(f"What is the {noun}?", f"Which {noun} should I use?", f"What {noun} is meant?"),
    )


def fallback(what: str, values: Iterable[int]) -> FactSpec:
    """A number that is returned in a special case, e.g. `what` = "an empty list"."""
    start = what[0].upper() + what[1:]
    return number(
        "fallback",
        values,
        says=(f"Return {{v}} for {what}.", f"For {what}, return {{v}}.", f"{start} gives {{v}}."),
        answers=("Return {v}.", "It gives {v}.", "{v}."),
        vague=(f"Handle {what} gracefully.", f"Mind {what}."),
        asks=(f"What should I return for {what}?", f"What about {what}?", f"What happens with {what}?"),
    )


def invalid(what: str, options: tuple[Value, ...] = (None, -1, "raise")) -> FactSpec:
    """What the function does with input that it refuses: the value that it returns, or "raise" for a ValueError."""
    start = what[0].upper() + what[1:]

    def words(value: Value) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if value == "raise":
            says = (f"Raise a ValueError for {what}.", f"For {what}, raise ValueError.", f"{start} raises ValueError.")
            return says, ("Raise a ValueError.", "It raises ValueError.")
        says = (f"Return {value!r} for {what}.", f"For {what}, return {value!r}.", f"{start} gives {value!r}.")
        return says, (f"Return {value!r}.", f"It gives {value!r}.")

    return choice(
        "invalid",
        {value: words(value) for value in options},
        vague=(f"Handle {what} gracefully.", f"Mind {what}."),
        asks=(f"What should I return for {what}?", f"What about {what}?", f"What happens with {what}?"),
    )


def on_invalid(choices_invalid: Value, test: str) -> str:
    """The guard lines for `invalid`: `test` is a Python condition such as `n < 0`."""
    outcome = 'raise ValueError("invalid")' if choices_invalid == "raise" else f"return {choices_invalid!r}"
    return f"    if {test}:\n        {outcome}"


def sign() -> FactSpec:
    """What happens to a negative argument: abs, zero or raise."""
    return choice(
        "sign",
        {
            "abs": (
                ("Drop the sign of a negative number.", "Treat a negative number as positive."),
                ("Drop the sign.", "Treat it as positive."),
            ),
            "zero": (
                ("Treat a negative number as 0.", "Replace a negative number by 0."),
                ("Treat it as 0.", "Replace it by 0."),
            ),
            "raise": (
                ("Raise a ValueError for a negative number.", "A negative number raises a ValueError."),
                ("Raise a ValueError.", "It raises ValueError."),
            ),
        },
        vague=("Handle a negative number in the right way.", "Take care of a negative number."),
        asks=(
            "What about a negative number?",
            "How should I treat a negative number?",
            "What if the number is negative?",
        ),
    )


def on_sign(choices_sign: Value, name: str) -> str:
    """The lines for `sign`, for the argument of that name."""
    if choices_sign == "raise":
        return f'    if {name} < 0:\n        raise ValueError("negative")'
    return f"    {name} = abs({name})" if choices_sign == "abs" else f"    {name} = max({name}, 0)"


def decimals(values: Iterable[int] = (2, 3, 4)) -> FactSpec:
    """To how many decimals a float is rounded, for `round(x, decimals)`."""
    return number(
        "decimals",
        values,
        says=("Round to {v} decimals.", "Keep {v} decimals.", "Round the result to {v} decimals."),
        answers=("Round to {v} decimals.", "{v} decimals."),
        vague=("Round the result suitably.", "Keep a good number of decimals."),
        asks=("How many decimals should I keep?", "To how many decimals do I round?", "How do I round the result?"),
    )


def rounding() -> FactSpec:
    """How a quotient becomes a whole number: down, up or near (halves go up)."""
    return choice(
        "rounding",
        {
            "down": (
                ("Round down.", "Drop the fraction.", "Fractions are rounded down."),
                ("Round down.", "Drop the fraction."),
            ),
            "up": (
                ("Round up.", "Round any fraction up.", "Fractions are rounded up."),
                ("Round up.", "Fractions go up."),
            ),
            "near": (
                ("Round to the nearest, half up.", "Round a half up, less down.", "Fractions of a half or more go up."),
                ("To the nearest, half up.", "Half up, less down."),
            ),
        },
        vague=("Round it properly.", "Handle fractions in the right way."),
        asks=("How should I round?", "Do I round up or down?", "How are fractions rounded?"),
    )


def divided(choices_rounding: Value, top: str, bottom: int) -> str:
    """The expression for `rounding`: `top` (a product or a name) divided by a whole number."""
    near = f"({top} + {bottom // 2}) // {bottom}"
    return {"down": f"{top} // {bottom}", "up": f"-(-{top} // {bottom})"}.get(str(choices_rounding), near)


def ties() -> FactSpec:
    """Which of several equally good entries wins: first, last or name (the alphabetically first)."""
    return choice(
        "ties",
        {
            "first": (
                ("In a tie, the first one wins.", "If there is a tie, take the first.", "Ties go to the first one."),
                ("The first one.", "Take the first."),
            ),
            "last": (
                ("In a tie, the last one wins.", "If there is a tie, take the last.", "Ties go to the last one."),
                ("The last one.", "Take the last."),
            ),
            "name": (
                (
                    "In a tie, the alphabetically first name wins.",
                    "If there is a tie, take the smallest name.",
                    "Ties go to the name that sorts first.",
                ),
                ("The alphabetically first name.", "The smallest name."),
            ),
        },
        vague=("Break a tie in a fair way.", "Handle ties sensibly."),
        asks=("Who wins in a tie?", "What if there is a tie?", "How should I break ties?"),
    )


def tied(choices_ties: Value, names: str) -> str:
    """The expression for `ties`: the winner among the equally good names, in the order of the input."""
    return {"first": f"{names}[0]", "last": f"{names}[-1]"}.get(str(choices_ties), f"min({names})")


def side() -> FactSpec:
    """On which side of a limit numbers qualify: above or below."""
    return choice(
        "side",
        {
            "above": (
                ("Larger numbers qualify.", "Look for larger numbers.", "The larger numbers matter."),
                ("The larger ones.", "Larger numbers qualify."),
            ),
            "below": (
                ("Smaller numbers qualify.", "Look for smaller numbers.", "The smaller numbers matter."),
                ("The smaller ones.", "Smaller numbers qualify."),
            ),
        },
        vague=("Numbers on the proper side qualify.", "Look on the right side."),
        asks=("Do larger or smaller numbers qualify?", "Do I look for larger or smaller ones?", "Which side is meant?"),
    )


def leftover(what: str = "chunk") -> FactSpec:
    """What happens to a last part that is too short: keep or drop."""
    return choice(
        "leftover",
        {
            "keep": (
                (f"Keep a shorter last {what}.", f"A leftover {what} stays.", f"An incomplete {what} is kept."),
                ("Keep it.", "An incomplete one is kept."),
            ),
            "drop": (
                (f"Drop a shorter last {what}.", f"A leftover {what} is dropped.", f"An incomplete {what} is dropped."),
                ("Drop it.", "An incomplete one is dropped."),
            ),
        },
        vague=(f"Handle a shorter last {what} well.", f"Mind the leftover {what}."),
        asks=(f"What about a shorter last {what}?", f"Is a leftover {what} kept?", f"What of an incomplete {what}?"),
    )


def case() -> FactSpec:
    """Whether upper and lower case are told apart: "ignored" or "matters"."""
    return choice(
        "case",
        {
            "ignored": (
                ("Ignore case.", "Upper and lower case are the same.", "Case does not matter."),
                ("Ignore case.", "Case does not matter.", "No, ignore case."),
            ),
            "matters": (
                ("Case matters.", "Upper and lower case are different.", "Respect case."),
                ("Case matters.", "Yes, case matters.", "Upper and lower case are different."),
            ),
        },
        vague=("Treat upper and lower case properly.", "Handle case well.", "Mind the case."),
        asks=("Does case matter?", "Are upper and lower case the same?", "Should I ignore case?"),
    )


def trim() -> FactSpec:
    """Whether spaces at both ends are removed: True or False."""
    return choice(
        "trim",
        {
            True: (
                ("Strip outer spaces.", "Trim spaces at both ends.", "Outer spaces are removed."),
                ("Yes, strip them.", "Trim them.", "Outer spaces are removed."),
            ),
            False: (
                ("Do not strip outer spaces.", "Do not trim spaces.", "Outer spaces stay."),
                ("No, do not strip them.", "Do not trim them.", "Outer spaces stay."),
            ),
        },
        vague=("Treat outer spaces properly.", "Handle outer spaces well."),
        asks=("Should I strip outer spaces?", "Do you want spaces trimmed?", "What about outer spaces?"),
    )


def separator(values: Iterable[str] = (";", ",", "|", "/", "&", "+")) -> FactSpec:
    """The text between parts, when splitting or joining."""
    return word(
        "separator",
        values,
        says=("The separator is {v!r}.", "Use {v!r} as the separator.", "The delimiter is {v!r}."),
        answers=("The separator is {v!r}.", "Use {v!r}.", "{v!r}."),
        vague=("Use a common separator.", "Pick a suitable delimiter.", "The separator is the usual one."),
        asks=("What is the separator?", "Which separator should I use?", "Which delimiter is meant?"),
    )


def start_at(values: Iterable[int] = (0, 1)) -> FactSpec:
    """The number of the first position, line or item."""
    return number(
        "start_at",
        values,
        says=("Counting starts at {v}.", "Start counting at {v}.", "The numbering starts at {v}."),
        answers=("It starts at {v}.", "Start at {v}.", "At {v}."),
        vague=("Start counting where it is usual.", "Use the usual numbering."),
        asks=("Where does the counting start?", "At which number should I start?", "Where does the numbering start?"),
    )


def not_found(values: Iterable[int]) -> FactSpec:
    """What a search returns that finds nothing."""
    return number(
        "not_found",
        values,
        says=("Return {v} if nothing is found.", "If it is missing, return {v}.", "When nothing matches, return {v}."),
        answers=("Return {v}.", "Then return {v}.", "Then it is {v}."),
        vague=("Return something fitting if nothing is found.", "Handle a missing match well."),
        asks=("What if nothing is found?", "What should I return if it is missing?", "What if nothing matches?"),
    )


def lowercase() -> FactSpec:
    """Whether text is converted to lower case: True or False."""
    return choice(
        "lowercase",
        {
            True: (
                ("Convert to lower case first.", "Turn it all into lower case.", "Use lower case throughout."),
                ("Yes, convert to lower case.", "Use lower case."),
            ),
            False: (
                ("Leave the case as it is.", "Do not change the case.", "Upper case letters stay."),
                ("No, leave the case as it is.", "Do not change the case."),
            ),
        },
        vague=("Mind the case.", "Treat upper case letters properly."),
        asks=("Should I convert to lower case?", "May I change the case?", "Do upper case letters stay?"),
    )


def default(values: Iterable[int]) -> FactSpec:
    """The number that stands in for a missing one."""
    return number(
        "default",
        values,
        says=("A missing value counts as {v}.", "Use {v} for missing values.", "The default is {v}."),
        answers=("It counts as {v}.", "Use {v}.", "The default is {v}."),
        vague=("Use a sensible default.", "Handle missing values well.", "Treat missing values properly."),
        asks=("What is the default?", "What does a missing value count as?", "What should I use for missing values?"),
    )


def maximum(values: Iterable[int]) -> FactSpec:
    """The number that larger numbers are cut down to."""
    return number(
        "maximum",
        values,
        says=("Cut larger values down to {v}.", "Values beyond {v} become {v}.", "Cut values at the maximum of {v}."),
        answers=("The maximum is {v}.", "Cut them down to {v}.", "{v} at most."),
        vague=("Cut values at a suitable maximum.", "Values have a maximum.", "Do not let values get too big."),
        asks=("What is the maximum?", "To which maximum are values cut?", "How big may values get?"),
    )


_CLASH = {
    "first": ("the first value stays", "Keep the first."),
    "last": ("the last value wins", "Take the last."),
    "sum": ("add the values", "Add them."),
    "larger": ("take the larger value", "Take the larger."),
    "smaller": ("take the smaller value", "Take the smaller."),
}


def clash(options: tuple[str, ...] = ("first", "last", "sum", "larger", "smaller")) -> FactSpec:
    """What happens when one key has two values: first, last, sum, larger or smaller."""

    def words(option: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        rule, answer = _CLASH[option]
        return (
            (f"If a key comes twice, {rule}.", f"On a clash of keys, {rule}.", f"For a key that clashes, {rule}."),
            (answer, f"Then {rule}."),
        )

    return choice(
        "clash",
        {option: words(option) for option in options},
        vague=("Handle clashing keys well.", "Mind that a key may come twice.", "Resolve a clash of keys properly."),
        asks=("What if a key comes twice?", "What happens on a clash?", "Which value wins if keys clash?"),
    )


def only(spec: FactSpec, *values: Value) -> FactSpec:
    """The same fact with only these options."""
    return FactSpec(spec.id, tuple(spec.option(value) for value in values), spec.vague, spec.asks)


def most(values: Iterable[int]) -> FactSpec:
    """How many of the first items are used."""
    return number(
        "most",
        values,
        says=("Use only the first {v}.", "Stop after the first {v}.", "Ignore all after the first {v}."),
        answers=("The first {v}.", "Stop after {v}.", "{v}."),
        vague=("Use only the first few.", "Stop when there are enough."),
        asks=("After how many do I stop?", "When should I stop?", "How many until I stop?"),
    )
