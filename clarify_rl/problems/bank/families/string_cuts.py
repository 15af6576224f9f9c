"""Families that cut a string: the end off, the middle out, a part, pieces."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number, word

_MARKS = ("...", "..", "~", "+", "*", "#", "--", "_")


def _around(rng: Random, length: int) -> str:
    """A string about as long as `length`, often exactly."""
    size = max(0, length + rng.choice((-2, -1, 0, 0, 1, 2, rng.randint(2, 12), -length)))
    return "".join(rng.choice("abcde") for _ in range(size))


def _spaced(rng: Random, length: int) -> str:
    """Such a string, often with spaces at an end."""
    return rng.choice(("", " ")) + _around(rng, length) + rng.choice(("", " ", "  "))


# shorten

_LENGTH = number(
    "length",
    range(4, 60),
    says=("The allowed length is {v}.", "Cut to a length of {v}.", "The longest length allowed is {v}."),
    answers=("The length is {v}.", "Cut to {v}.", "{v}."),
    vague=("Cut to a fitting length.", "The allowed length is the usual one."),
    asks=("What is the allowed length?", "To which length do I cut?", "Which length is the longest?"),
)

_SUFFIX = word(
    "suffix",
    _MARKS,
    says=("The suffix is {v!r}.", "Use {v!r} as the suffix.", "Take {v!r} for the suffix."),
    answers=("The suffix is {v!r}.", "Use {v!r}.", "{v!r}."),
    vague=("The suffix is the usual one.", "Use a sensible suffix."),
    asks=("What is the suffix?", "Which suffix should I use?", "What suffix do you want?"),
)

_ROOM = choice(
    "room",
    {
        True: (
            (
                "Leave room for what you append.",
                "Make room for the appended part.",
                "What you append takes room from s.",
            ),
            ("Yes, leave room for it.", "Make room for it."),
        ),
        False: (
            ("Leave no room for what you append.", "The appended part needs no room.", "What you append is extra."),
            ("No, leave no room for it.", "It needs no room."),
        ),
    },
    vague=("Mind the room for what you append.", "Append it with proper room."),
    asks=("Should I leave room for what I append?", "Does the appended part need room?", "Do I make room for it?"),
)


def _shorten_solution(name: str, c: Choices) -> str:
    room = f"{c['length']} - {len(str(c['suffix']))}" if c["room"] else str(c["length"])
    return code(
        f"def {name}(s):",
        "    s = s.strip()" if c["trim"] else None,
        f"    if len(s) <= {c['length']}:",
        "        return s",
        f"    return s[:{room}] + {c['suffix']!r}",
    )


SHORTEN = Family(
    name="shorten",
    area="strings",
    entry_points=("shorten", "truncate", "clip", "cut_text"),
    parameters=("s",),
    openings=(
        "Write {call} that cuts a long string s and adds a suffix.",
        "Implement {call}: if s is too long, cut it and add a suffix.",
        "Create {call}, which shortens s and puts a suffix where it was cut.",
    ),
    facts=(_LENGTH, _SUFFIX, _ROOM, facts.trim()),
    solution=_shorten_solution,
    inputs=lambda rng, c: (_spaced(rng, integer(c, "length")),),
)


# keep_ends

_HEAD = number(
    "head",
    range(2, 32),
    says=("Keep {v} letters at the front.", "The front part has {v} letters.", "In front, {v} letters remain."),
    answers=("Keep {v} at the front.", "The front part has {v}.", "{v}."),
    vague=("Keep some letters at the front.", "The front part has a usual size."),
    asks=("How many letters does the front keep?", "How long is the front?", "What remains in front?"),
)

_TAIL = number(
    "tail",
    range(2, 32),
    says=("Keep {v} letters at the end.", "The end part has {v} letters.", "At the end, {v} letters remain."),
    answers=("Keep {v} at the end.", "The end part has {v}.", "{v}."),
    vague=("Keep some letters at the end.", "The end part has a usual size."),
    asks=("How many letters does the end keep?", "How long is the end?", "What remains at the end?"),
)

_FILLER = word(
    "filler",
    _MARKS,
    says=("Write {v!r} for the middle.", "The middle becomes {v!r}.", "Put {v!r} in the middle."),
    answers=("Write {v!r}.", "{v!r}.", "It becomes {v!r}."),
    vague=("Write something fitting for the middle.", "Mark the middle as usual."),
    asks=("What should I write for the middle?", "What does the middle become?", "What do I put in the middle?"),
)

_NOTHING_CUT = choice(
    "nothing_cut",
    {
        "same": (
            ("If nothing is cut, return s.", "With nothing to remove, return s.", "Too short a string stays as it is."),
            ("Return s.", "It stays as it is."),
        ),
        "none": (
            (
                "If nothing is cut, return None.",
                "With nothing to remove, return None.",
                "Too short a string gives None.",
            ),
            ("Return None.", "It gives None."),
        ),
        "raise": (
            (
                "If nothing is cut, raise ValueError.",
                "With nothing to remove, raise a ValueError.",
                "Too short a string raises ValueError.",
            ),
            ("Raise a ValueError.", "It raises ValueError."),
        ),
    },
    vague=("Handle too short a string well.", "Mind that nothing may have to be cut."),
    asks=("What if nothing is cut?", "What if the string is too short?", "What if there is nothing to remove?"),
)


def _keep_ends_solution(name: str, c: Choices) -> str:
    outcome = {"same": "return s", "none": "return None", "raise": 'raise ValueError("short")'}[str(c["nothing_cut"])]
    return code(
        f"def {name}(s):",
        f"    if len(s) <= {c['head']} + {c['tail']}:",
        f"        {outcome}",
        f"    return s[:{c['head']}] + {c['filler']!r} + s[-{c['tail']}:]",
    )


KEEP_ENDS = Family(
    name="keep_ends",
    area="strings",
    entry_points=("keep_ends", "abbreviate", "squeeze", "hide_middle"),
    parameters=("s",),
    openings=(
        "Write {call} that keeps both sides of s and replaces what lies between.",
        "Implement {call}: take the middle out of the string s.",
        "Create {call}, which abbreviates s by taking its middle out.",
    ),
    facts=(_HEAD, _TAIL, _FILLER, _NOTHING_CUT),
    solution=_keep_ends_solution,
    inputs=lambda rng, c: (_around(rng, integer(c, "head") + integer(c, "tail")),),
)


# extract_part

_FROM = number(
    "begin",
    range(1, 31),
    says=("Begin at position {v}.", "The part begins at position {v}.", "It begins at {v}."),
    answers=("Begin at {v}.", "It begins at {v}.", "{v}."),
    vague=("Begin at the proper position.", "The part begins as usual."),
    asks=("Where does the part begin?", "At which position do I begin?", "At what does it begin?"),
)

_TO = number(
    "end",
    range(31, 71),
    says=("End at position {v}.", "The part ends at position {v}.", "It ends at {v}."),
    answers=("End at {v}.", "It ends at {v}.", "{v}."),
    vague=("End at the proper position.", "The part ends as usual."),
    asks=("Where does the part end?", "At which position do I end?", "At what does it end?"),
)

_LAST = choice(
    "last",
    {
        True: (
            ("The last character is included.", "Include the last one.", "Its last position is inclusive."),
            ("Yes, include it.", "It is included."),
        ),
        False: (
            ("The last character is excluded.", "Exclude the last one.", "Its last position is exclusive."),
            ("No, exclude it.", "It is excluded."),
        ),
    },
    vague=("Treat the last character properly.", "Mind the last one."),
    asks=("Is the last character included?", "Should I include the last one?", "Is the last one excluded?"),
)


def _extract_part_solution(name: str, c: Choices) -> str:
    begin = f"{c['begin']}{' - 1' if c['start_at'] else ''}"
    offset = {(0, True): " + 1", (1, False): " - 1"}.get((integer(c, "start_at"), c["last"] is True), "")
    return code(f"def {name}(s):", f"    return s[{begin}:{c['end']}{offset}]")


def _extract_part_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    size = integer(c, rng.choice(("begin", "end", "end"))) + rng.randint(-2, 4)
    return ("".join(rng.choice("abcdefgh") for _ in range(max(0, size))),)


EXTRACT_PART = Family(
    name="extract_part",
    area="strings",
    entry_points=("extract", "part", "substring", "middle_of"),
    parameters=("s",),
    openings=(
        "Write {call} that returns a fixed part of the string s.",
        "Implement {call}: take a part out of s by position.",
        "Create {call}, which extracts the characters of s at certain positions.",
    ),
    facts=(_FROM, _TO, facts.start_at(), _LAST),
    solution=_extract_part_solution,
    inputs=_extract_part_inputs,
)


# group_characters

_GROUP = number(
    "group",
    range(2, 32),
    says=("Each group has {v} characters.", "Make groups of {v} characters.", "The size of a group is {v}."),
    answers=("{v} characters.", "Groups of {v}.", "The size is {v}."),
    vague=("Make groups of a common size.", "Each group has a fitting size."),
    asks=("How many characters has a group?", "What is the size of a group?", "How big are the groups?"),
)


def _group_characters_solution(name: str, c: Choices) -> str:
    size = c["group"]
    return code(
        f"def {name}(s):",
        "    s = s.strip()" if c["trim"] else None,
        f"    parts = [s[i:i + {size}] for i in range(0, len(s), {size})]",
        f"    parts = [p for p in parts if len(p) == {size}]" if c["leftover"] == "drop" else None,
        f"    return {c['separator']!r}.join(parts)",
    )


GROUP_CHARACTERS = Family(
    name="group_characters",
    area="strings",
    entry_points=("group_characters", "chunk_text", "in_blocks", "split_up"),
    parameters=("s",),
    openings=(
        "Write {call} that breaks s into equal groups and joins them again.",
        "Implement {call}: make s easier to read by breaking it up.",
        "Create {call}, which breaks the string s into equal groups and joins these.",
    ),
    facts=(_GROUP, facts.separator(), facts.leftover("piece"), facts.trim()),
    solution=_group_characters_solution,
    inputs=lambda rng, c: (_spaced(rng, integer(c, "group") * rng.randint(1, 3)),),
)


FAMILIES: tuple[Family, ...] = (SHORTEN, KEEP_ENDS, EXTRACT_PART, GROUP_CHARACTERS)
