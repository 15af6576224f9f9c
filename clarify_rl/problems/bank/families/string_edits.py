"""Families that change the characters of a string: mask, pad, shift."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number, word


def _around(rng: Random, length: int) -> str:
    """A string about as long as `length`, often exactly."""
    size = max(0, length + rng.choice((-2, -1, 0, 0, 1, 2, rng.randint(2, 12), -length)))
    return "".join(rng.choice("abcde") for _ in range(size))


def _spaced(rng: Random, length: int) -> str:
    """Such a string, often with spaces at an end."""
    return rng.choice(("", " ")) + _around(rng, length) + rng.choice(("", " ", "  "))


# mask_text

_VISIBLE = number(
    "visible",
    range(2, 50),
    says=("Leave {v} characters visible.", "The visible part has {v} characters.", "Show {v} characters."),
    answers=("{v} stay visible.", "Show {v}.", "{v}."),
    vague=("Leave some characters visible.", "Show the usual part."),
    asks=("How many stay visible?", "How long is the visible part?", "How many characters do I show?"),
)

_MASK = word(
    "mask",
    ("*", "#", "x", "-", ".", "?", "_", "+"),
    says=("The mask is {v!r}.", "Mask with {v!r}.", "Use {v!r} as the mask."),
    answers=("Mask with {v!r}.", "Use {v!r}.", "{v!r}."),
    vague=("Use a common mask.", "Mask it as usual."),
    asks=("What is the mask?", "Which mask should I use?", "With what do I mask?"),
)

_SHOWN_END = choice(
    "shown_end",
    {
        "front": (
            ("Hide the back, not the front.", "Only the back is hidden.", "The front is what one can read."),
            ("Hide the back.", "The front stays."),
        ),
        "back": (
            ("Hide the front, not the back.", "Only the front is hidden.", "The back is what one can read."),
            ("Hide the front.", "The back stays."),
        ),
    },
    vague=("Hide the proper side.", "Only one side is hidden."),
    asks=("Do I hide the front or the back?", "Which side is hidden?", "Is the front or the back hidden?"),
)

_TOO_SHORT = choice(
    "too_short",
    {
        "same": (
            (
                "A string of that length or shorter stays as it is.",
                "Short strings do not change.",
                "Return a short string as it is.",
            ),
            ("It stays as it is.", "It does not change."),
        ),
        "hidden": (
            (
                "A string of that length or shorter is covered fully.",
                "Short strings are covered fully.",
                "Cover a short string fully.",
            ),
            ("Cover it fully.", "It is covered fully."),
        ),
        "raise": (
            (
                "A string of that length or shorter raises ValueError.",
                "Short strings raise a ValueError.",
                "Raise a ValueError for a short string.",
            ),
            ("Raise a ValueError.", "It raises ValueError."),
        ),
    },
    vague=("Handle short strings well.", "Mind that strings can be short."),
    asks=("What if the string is short?", "What about short strings?", "How do I treat a short string?"),
)


def _mask_text_solution(name: str, c: Choices) -> str:
    visible, mask = c["visible"], f"{c['mask']!r}"
    covered = f"{mask} * (len(s) - {visible})"
    masked = f"s[:{visible}] + {covered}" if c["shown_end"] == "front" else f"{covered} + s[-{visible}:]"
    outcome = {"same": "return s", "hidden": f"return {mask} * len(s)", "raise": 'raise ValueError("short")'}
    return code(
        f"def {name}(s):",
        f"    if len(s) <= {visible}:",
        f"        {outcome[str(c['too_short'])]}",
        f"    return {masked}",
    )


MASK_TEXT = Family(
    name="mask_text",
    area="strings",
    entry_points=("mask_text", "hide", "conceal", "cover"),
    parameters=("s",),
    openings=(
        "Write {call} that makes most of s unreadable.",
        "Implement {call}: replace most characters of a secret s.",
        "Create {call}, which conceals most of the string s.",
    ),
    facts=(_VISIBLE, _MASK, _SHOWN_END, _TOO_SHORT),
    solution=_mask_text_solution,
    inputs=lambda rng, c: (_around(rng, integer(c, "visible")),),
)


# pad_text

_WIDTH = number(
    "width",
    range(3, 63),
    says=("The width is {v}.", "Use a width of {v}.", "It must have width {v}."),
    answers=("The width is {v}.", "Use {v}.", "{v}."),
    vague=("Use a fitting width.", "The width is the usual one."),
    asks=("What is the width?", "Which width should I use?", "What width must it have?"),
)

_FILL = word(
    "fill",
    ("*", "#", "x", "-", ".", "0", "_", "+"),
    says=("Fill up with {v!r}.", "The fill character is {v!r}.", "Use {v!r} to fill up."),
    answers=("Fill up with {v!r}.", "Use {v!r}.", "{v!r}."),
    vague=("Fill up with something common.", "Use the usual fill character."),
    asks=("What do I fill up with?", "Which fill character is meant?", "What should I fill it with?"),
)

_EDGE = choice(
    "edge",
    {
        "left": (
            ("Add characters on the left.", "Pad it on the left.", "The padding goes to the left."),
            ("On the left.", "To the left."),
        ),
        "right": (
            ("Add characters on the right.", "Pad it on the right.", "The padding goes to the right."),
            ("On the right.", "To the right."),
        ),
    },
    vague=("Pad it on the proper side.", "The padding goes to one side."),
    asks=("Do I pad on the left?", "On which side does the padding go?", "Is the padding left or right?"),
)

_TOO_LONG = choice(
    "too_long",
    {
        "same": (
            ("A longer string stays as it is.", "Return too long a string as it is.", "Long strings do not change."),
            ("It stays as it is.", "It does not change."),
        ),
        "cut": (
            ("Cut the end off a longer string.", "Cut the end of too long a string.", "Long strings lose their end."),
            ("Cut its end off.", "It loses its end."),
        ),
        "raise": (
            (
                "A longer string raises ValueError.",
                "Raise a ValueError for too long a string.",
                "Long strings raise ValueError.",
            ),
            ("Raise a ValueError.", "It raises ValueError."),
        ),
    },
    vague=("Handle too long a string well.", "Mind longer strings."),
    asks=("What about a longer string?", "What if the string is too long?", "How do I treat long strings?"),
)


def _pad_text_solution(name: str, c: Choices) -> str:
    width = c["width"]
    outcome = {"same": "return s", "cut": f"return s[:{width}]", "raise": 'raise ValueError("long")'}
    method = "rjust" if c["edge"] == "left" else "ljust"
    return code(
        f"def {name}(s):",
        "    s = s.strip()" if c["trim"] else None,
        f"    if len(s) > {width}:",
        f"        {outcome[str(c['too_long'])]}",
        f"    return s.{method}({width}, {c['fill']!r})",
    )


PAD_TEXT = Family(
    name="pad_text",
    area="strings",
    entry_points=("pad_text", "pad", "widen", "fit"),
    parameters=("s",),
    openings=(
        "Write {call} that brings the string s to a fixed size.",
        "Implement {call}: make s as wide as needed.",
        "Create {call}, which widens s to a fixed size.",
    ),
    facts=(_WIDTH, _FILL, _EDGE, _TOO_LONG, facts.trim()),
    solution=_pad_text_solution,
    inputs=lambda rng, c: (_spaced(rng, integer(c, "width")),),
)


# shift_letters

_SHIFT = number(
    "shift",
    (*range(1, 13), *range(14, 26)),
    says=("Shift by {v}.", "The shift is {v}.", "Shift each letter by {v} places."),
    answers=("Shift by {v}.", "The shift is {v}.", "{v}."),
    vague=("Shift by a suitable number.", "The shift is the usual one."),
    asks=("What is the shift?", "By how many places do I shift?", "How far should I shift?"),
)

_DIRECTION = choice(
    "direction",
    {
        "+": (
            ("Go forward, from a to b.", "Go towards z.", "The direction is forward."),
            ("Forward.", "Towards z."),
        ),
        "-": (
            ("Go backward, from b to a.", "Go towards a.", "The direction is backward."),
            ("Backward.", "Towards a."),
        ),
    },
    vague=("Go in the proper direction.", "The direction is the usual one."),
    asks=("In which direction do I go?", "Do I go forward or backward?", "Is the direction forward?"),
)

_REST = choice(
    "rest",
    {
        "keep": (
            ("Other characters are kept.", "Keep any other character.", "Digits and spaces are kept."),
            ("Keep them.", "They are kept."),
        ),
        "drop": (
            ("Other characters are dropped.", "Drop any other character.", "Digits and spaces are dropped."),
            ("Drop them.", "They are dropped."),
        ),
        **{
            mark: (
                (
                    f"Other characters become {mark!r}.",
                    f"Replace any other character by {mark!r}.",
                    f"Digits and spaces become {mark!r}.",
                ),
                (f"They become {mark!r}.", f"Use {mark!r} for them."),
            )
            for mark in ("?", "*", "_", "-", "#")
        },
    },
    vague=("Handle digits and spaces well.", "Treat any other character properly."),
    asks=("What about digits and spaces?", "What about other characters?", "How do I treat digits?"),
)


def _shift_letters_solution(name: str, c: Choices) -> str:
    start = 'ord("a")' if c["lowercase"] else 'ord("A" if ch.isupper() else "a")'
    rest = {"keep": "ch", "drop": "''"}.get(str(c["rest"]), repr(c["rest"]))
    return code(
        f"def {name}(s):",
        "    out = ''",
        f"    for ch in {'s.lower()' if c['lowercase'] else 's'}:",
        "        if ch.isalpha():",
        f"            a = {start}",
        f"            out += chr((ord(ch) - a {c['direction']} {c['shift']}) % 26 + a)",
        "        else:",
        f"            out += {rest}",
        "    return out",
    )


SHIFT_LETTERS = Family(
    name="shift_letters",
    area="strings",
    entry_points=("caesar", "shift_letters", "encode", "rotate"),
    parameters=("s",),
    openings=(
        "Write {call} that encodes s with a Caesar cipher.",
        "Implement {call}: move each letter of s along the alphabet, round the end.",
        "Create {call}, which applies a Caesar cipher to the string s.",
    ),
    facts=(_SHIFT, _DIRECTION, facts.lowercase(), _REST),
    solution=_shift_letters_solution,
    inputs=lambda rng, c: ("".join(rng.choice("abmyzABMYZ 7!") for _ in range(rng.randint(0, 9))),),
)


FAMILIES: tuple[Family, ...] = (MASK_TEXT, PAD_TEXT, SHIFT_LETTERS)
