"""Families that write a text format."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number, word

# join_items

_CONJUNCTION = word(
    "conjunction",
    ("and", "or", "plus", "then", "nor", "with"),
    says=(
        "Before the last item write {v!r}.",
        "The word {v!r} precedes the last item.",
        "Put the word {v!r} before the last item.",
    ),
    answers=("Write {v!r}.", "The word {v!r}.", "{v!r}."),
    vague=("Write a fitting word before the last item.", "Some word precedes the last item."),
    asks=(
        "Which word precedes the last item?",
        "What do I write before the last item?",
        "Which word should I put last?",
    ),
)


def _join_items_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(xs):",
        facts.on_empty(c["empty"], "not xs"),
        f"    xs = xs[:{c['most']}]",
        "    if len(xs) == 1:",
        "        return xs[0]",
        f"    return {c['separator']!r}.join(xs[:-1]) + ' {c['conjunction']} ' + xs[-1]",
    )


def _join_items_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    size = rng.choice((0, 1, 3, *(integer(c, "most") + i for i in (-1, 0, 1, 2))))
    return ([rng.choice(("ann", "bob", "cat", "dog", "elk")) for _ in range(size)],)


JOIN_ITEMS = Family(
    name="join_items",
    area="text",
    entry_points=("join_items", "enumerate_items", "to_sentence", "list_names"),
    parameters=("xs",),
    openings=(
        "Write {call} that joins the strings in xs into one text.",
        "Implement {call}: write the names in xs as one phrase.",
        "Create {call}, which turns the list of strings xs into a phrase.",
    ),
    facts=(
        facts.separator(),
        _CONJUNCTION,
        facts.most(range(3, 43)),
        facts.empty(("none", "-", "nobody", "?", "raise")),
    ),
    solution=_join_items_solution,
    inputs=_join_items_inputs,
)


# clock_time

_PADDED = choice(
    "padded",
    {
        True: (
            ("Write minutes with two digits.", "Minutes get a leading zero.", "Pad minutes to two digits."),
            ("With two digits.", "They get a leading zero."),
        ),
        False: (
            ("Write minutes without a leading zero.", "Minutes get no leading zero.", "Do not pad minutes."),
            ("Without a leading zero.", "Do not pad them."),
        ),
    },
    vague=("Write minutes in the usual way.", "Write minutes with proper digits."),
    asks=("Do minutes get a leading zero?", "Should I pad minutes?", "How many digits do minutes get?"),
)


def _clock_time_solution(name: str, c: Choices) -> str:
    minutes = "{m % 60:02d}" if c["padded"] else "{m % 60}"
    return code(
        f"def {name}(seconds):",
        f"    m = {facts.divided(c['rounding'], 'seconds', 60)} + {c['delay']}",
        f"    return f'{{m // 60}}{c['separator']}{minutes}'",
    )


def _clock_time_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    """Seconds around whole minutes and halves, so that minutes of one digit come out often."""
    minutes = 60 * rng.randint(1, 9) + rng.choice((rng.randint(0, 9), rng.randint(0, 59))) - integer(c, "delay")
    return (60 * minutes + rng.choice((0, 1, 29, 30, 31, 59)),)


CLOCK_TIME = Family(
    name="clock_time",
    area="text",
    entry_points=("clock_time", "format_time", "hours_minutes", "arrival"),
    parameters=("seconds",),
    openings=(
        "Write {call} that adds a delay in minutes and writes the time as hours and minutes.",
        "Implement {call}: add a delay in minutes to the seconds; return hours and minutes as text.",
        "Create {call}, which formats seconds plus a delay in minutes as hours and minutes.",
    ),
    facts=(facts.amount("delay", range(1, 60)), facts.rounding(), facts.separator((":", ".", "h", "-", "/")), _PADDED),
    solution=_clock_time_solution,
    inputs=_clock_time_inputs,
)


# number_lines

_AFTER = word(
    "after",
    (".", ")", ":", "-", "|", ">"),
    says=(
        "Put {v!r} and a space after the number.",
        "After the number comes {v!r} and a space.",
        "End each number with {v!r} and a space.",
    ),
    answers=("{v!r} and a space.", "Put {v!r} and a space.", "It is {v!r} and a space."),
    vague=("Put something fitting and a space after the number.", "Set the number apart from the text."),
    asks=(
        "What do I put between number and text?",
        "What and a space come next to the number?",
        "How is the number set apart?",
    ),
)

_BLANK_LINES = choice(
    "blank_lines",
    {
        True: (
            ("Leave out empty lines.", "Empty lines are left out.", "Drop every empty line."),
            ("Leave them out.", "Drop them."),
        ),
        False: (
            ("Treat empty lines like others.", "Empty lines are numbered too.", "An empty line is numbered as well."),
            ("Like others.", "They are numbered too."),
        ),
    },
    vague=("Treat empty lines properly.", "Mind empty lines."),
    asks=("What about empty lines?", "Do I leave out empty lines?", "Is an empty line numbered?"),
)


def _number_lines_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(lines):",
        "    lines = [x for x in lines if x]" if c["blank_lines"] else None,
        f"    return [f'{{{c['start_at']} + {c['step']} * i}}{c['after']} {{x}}' for i, x in enumerate(lines)]",
    )


NUMBER_LINES = Family(
    name="number_lines",
    area="text",
    entry_points=("number_lines", "numbered", "add_numbers", "label_lines"),
    parameters=("lines",),
    openings=(
        "Write {call} that puts a number before each of the lines.",
        "Implement {call}: return the list of lines, each with a growing number in front.",
        "Create {call}, which numbers the strings in lines.",
    ),
    facts=(facts.start_at(range(60)), facts.amount("step", range(2, 22)), _AFTER, _BLANK_LINES),
    solution=_number_lines_solution,
    inputs=lambda rng, c: ([rng.choice(("go", "stop", "", "", "turn left")) for _ in range(rng.randint(0, 5))],),
)


# make_codes

_PREFIX = word(
    "prefix",
    ("#", "no", "id", "x", "$", "item"),
    says=("The prefix is {v!r}.", "Use {v!r} as the prefix.", "Take {v!r} for the prefix."),
    answers=("The prefix is {v!r}.", "Use {v!r}.", "{v!r}."),
    vague=("Use a common prefix.", "The prefix is the usual one."),
    asks=("What is the prefix?", "Which prefix should I use?", "What prefix is meant?"),
)

_DIGITS = number(
    "digits",
    range(2, 22),
    says=(
        "Each has {v} digits, with leading zeros.",
        "Write {v} digits, with zeros in front.",
        "Fill up with zeros to {v} digits.",
    ),
    answers=("{v} digits.", "Fill up to {v} digits.", "{v}."),
    vague=("Fill up with some zeros.", "Write enough digits."),
    asks=(
        "How many digits should I write?",
        "To how many digits do I fill up with zeros?",
        "How many digits has each?",
    ),
)


def _make_codes_solution(name: str, c: Choices) -> str:
    source = {"asc": "sorted(xs)", "desc": "sorted(xs, reverse=True)", "kept": "xs"}[str(c["order"])]
    return code(
        f"def {name}(xs):",
        f"    codes = [{c['prefix']!r} + str(x).zfill({c['digits']}) for x in {source}]",
        f"    return {c['separator']!r}.join(codes)",
    )


MAKE_CODES = Family(
    name="make_codes",
    area="text",
    entry_points=("make_codes", "write_codes", "format_ids", "labels"),
    parameters=("xs",),
    openings=(
        "Write {call} that writes the numbers in xs as codes in one string.",
        "Implement {call}: join the numbers of xs into one text of codes with a prefix.",
        "Create {call}, which formats the list of numbers xs as a line of codes.",
    ),
    facts=(_PREFIX, _DIGITS, facts.separator(), facts.order()),
    solution=_make_codes_solution,
    inputs=lambda rng, c: ([rng.randint(0, 10 ** rng.randint(1, 4)) for _ in range(rng.randint(0, 5))],),
)


# draw_bar

_BRUSH = word(
    "brush",
    ("*", "#", "=", "x", "o", "."),
    says=("Draw the bar with {v!r}.", "The bar is made of {v!r}.", "Each unit is drawn as {v!r}."),
    answers=("Draw it with {v!r}.", "With {v!r}.", "{v!r}."),
    vague=("Draw the bar with something common.", "The bar is made of the usual character."),
    asks=("With what do I draw the bar?", "What is the bar made of?", "How is each unit drawn?"),
)


def _draw_bar_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(label, n):",
        facts.on_sign(c["sign"], "n"),
        f"    return label + {c['separator']!r} + {c['brush']!r} * min(n, {c['maximum']})",
    )


DRAW_BAR = Family(
    name="draw_bar",
    area="text",
    entry_points=("draw_bar", "bar", "chart_line", "show_amount"),
    parameters=("label", "n"),
    openings=(
        "Write {call} that returns the label and a bar of size n.",
        "Implement {call}: one line of a chart, the label and then a bar of n units.",
        "Create {call}, which writes label and after it a bar for the number n.",
    ),
    facts=(facts.separator((":", "|", ">", "-", "/", " ")), _BRUSH, facts.maximum(range(4, 64)), facts.sign()),
    solution=_draw_bar_solution,
    inputs=lambda rng, c: (
        rng.choice(("a", "tea", "sun")),
        rng.choice((0, 5, -1, -3, *(integer(c, "maximum") + i for i in (-1, 0, 1, 2)))),
    ),
)


FAMILIES: tuple[Family, ...] = (JOIN_ITEMS, CLOCK_TIME, NUMBER_LINES, MAKE_CODES, DRAW_BAR)
