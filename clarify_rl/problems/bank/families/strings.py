"""Families that look something up in a string: counts, scores, positions, checks."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number

_WORDS = ("sun", "Sun", "tree", "Tree", "TREE", "yes", "sky", "Sky", "fly", "a", "I", "map", "Map")


def _text(rng: Random, letters: str, longest: int) -> str:
    return "".join(
        rng.choice(letters) for _ in range(rng.choice((0, rng.randint(0, longest), rng.randint(0, longest))))
    )


# count_vowels

_Y = choice(
    "y",
    {
        True: (
            ("The letter y is a vowel too.", "Count y as well.", "The letter y belongs to them."),
            ("Yes, y is one.", "Yes, count y.", "The letter y belongs to them."),
        ),
        False: (
            ("The letter y is no vowel.", "Do not count y.", "The letter y is not one of them."),
            ("No, y is none.", "No, do not count y.", "The letter y is not one of them."),
        ),
    },
    vague=("Treat the letter y properly.", "Mind the letter y."),
    asks=("Is the letter y one of them?", "What about the letter y?", "Should I treat y as a vowel?"),
)


def _count_vowels_solution(name: str, c: Choices) -> str:
    source = "s.lower()" if c["case"] == "ignored" else "s"
    vowels = "aeiouy" if c["y"] else "aeiou"
    kept = f'[ch for ch in {source} if ch in "{vowels}"]'
    distinct = "set(found)" if c["duplicates"] == "drop" else "found"
    return code(
        f"def {name}(s):",
        facts.on_empty(c["empty"], "not s"),
        f"    found = {kept}",
        f"    return len({distinct})",
    )


COUNT_VOWELS = Family(
    name="count_vowels",
    area="strings",
    entry_points=("count_vowels", "vowels", "vowel_count", "how_many_vowels"),
    parameters=("s",),
    openings=(
        "Write {call} that counts the vowels a, e, i, o, u in the string s.",
        "Implement {call}: how many of the vowels a, e, i, o, u are in s?",
        "Create {call}, which tells how often the vowels a, e, i, o, u occur in s.",
    ),
    facts=(facts.case(), _Y, facts.duplicates(), facts.empty((*range(10, 60), "raise"), what="string")),
    solution=_count_vowels_solution,
    inputs=lambda rng, c: (_text(rng, "aeiouyAEIOUYbcd", 7),),
)


# letter_score

_VOWEL_POINTS = number(
    "vowel_points",
    range(1, 31),
    says=("A vowel is worth {v}.", "Vowels score {v}.", "Each vowel gives {v}."),
    answers=("A vowel is worth {v}.", "Vowels score {v}.", "{v}."),
    vague=("Vowels score as usual.", "Give each vowel a fair worth."),
    asks=("What is a vowel worth?", "What do vowels score?", "What does each vowel give?"),
)

_CONSONANT_POINTS = number(
    "consonant_points",
    range(1, 31),
    says=("A consonant is worth {v}.", "Consonants score {v}.", "Each consonant gives {v}."),
    answers=("A consonant is worth {v}.", "Consonants score {v}.", "{v}."),
    vague=("Consonants score as usual.", "Give each consonant a fair worth."),
    asks=("What is a consonant worth?", "What do consonants score?", "What does each consonant give?"),
)


def _letter_score_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(s):",
        facts.on_empty(c["empty"], "not s"),
        "    total = 0",
        f"    for ch in {'set(s)' if c['duplicates'] == 'drop' else 's'}:",
        f'        total += {c["vowel_points"]} if ch in "aeiou" else {c["consonant_points"]}',
        "    return total",
    )


LETTER_SCORE = Family(
    name="letter_score",
    area="strings",
    entry_points=("score", "letter_score", "points", "rate_word"),
    parameters=("s",),
    openings=(
        "Write {call} that adds up the points of the letters in s.",
        "Implement {call}: return the total points of a lower case string s.",
        "Create {call}, which rates the string s by its letters.",
    ),
    facts=(_VOWEL_POINTS, _CONSONANT_POINTS, facts.duplicates(), facts.empty((-1, None, "raise"), what="string")),
    solution=_letter_score_solution,
    inputs=lambda rng, c: (_text(rng, "aeoubcdf", 8),),
)


# word_position

_WHICH = choice(
    "which",
    {
        "first": (
            ("Take its first occurrence.", "If it occurs often, the first occurrence counts."),
            ("The first occurrence.", "The first."),
        ),
        "last": (
            ("Take its last occurrence.", "If it occurs often, the last occurrence counts."),
            ("The last occurrence.", "The last."),
        ),
    },
    vague=("Take the right occurrence.", "Mind that it may occur often."),
    asks=("Which occurrence counts?", "Do you want the first or last occurrence?", "What if it occurs often?"),
)


def _word_position_solution(name: str, c: Choices) -> str:
    text, same = ("s.lower()", "w == word.lower()") if c["case"] == "ignored" else ("s", "w == word")
    index = 0 if c["which"] == "first" else -1
    return code(
        f"def {name}(s, word):",
        f"    hits = [i for i, w in enumerate({text}.split(), {c['start_at']}) if {same}]",
        f"    return hits[{index}] if hits else {c['not_found']}",
    )


def _word_position_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    pool = rng.sample(_WORDS, 4)
    return " ".join(rng.choice(pool) for _ in range(rng.randint(0, 6))), rng.choice(pool)


WORD_POSITION = Family(
    name="word_position",
    area="strings",
    entry_points=("word_position", "find_word", "locate", "where_is"),
    parameters=("s", "word"),
    openings=(
        "Write {call} that returns the position of word in the text s.",
        "Implement {call}: tell at which place word stands among the words of s.",
        "Create {call}, which finds the place of word in the sentence s.",
    ),
    facts=(facts.start_at(range(12)), facts.not_found(range(20, 90)), facts.case(), _WHICH),
    solution=_word_position_solution,
    inputs=_word_position_inputs,
)


# frequent_letters

_BLANKS = choice(
    "blanks",
    {
        True: (
            ("Spaces count too.", "Treat a space as a letter.", "A space is like any letter."),
            ("Yes, spaces count.", "Treat a space as a letter."),
        ),
        False: (
            ("Skip spaces.", "Ignore each space.", "A space never counts."),
            ("No, skip spaces.", "Ignore each space."),
        ),
    },
    vague=("Treat spaces properly.", "Mind the spaces in s."),
    asks=("Do spaces count?", "What about a space?", "Should I skip spaces?"),
)


def _frequent_letters_solution(name: str, c: Choices) -> str:
    sign = ">=" if c["inclusive"] else ">"
    seen = "dict.fromkeys(s)" if c["blanks"] else 'dict.fromkeys(s.replace(" ", ""))'
    final = {"asc": "sorted(found)", "desc": "sorted(found, reverse=True)", "kept": "found"}[str(c["order"])]
    return code(
        f"def {name}(s):",
        f"    found = [ch for ch in {seen} if s.count(ch) {sign} {c['limit']}]",
        f"    return {final}",
    )


def _frequent_letters_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    """Each letter occurs about as often as the limit."""
    limit = integer(c, "limit")
    counts = {ch: max(0, limit + rng.randint(-1, 2)) for ch in rng.sample("abcde ", rng.randint(2, 4))}
    letters = [ch for ch, count in counts.items() for _ in range(count)]
    rng.shuffle(letters)
    return ("".join(letters),)


FREQUENT_LETTERS = Family(
    name="frequent_letters",
    area="strings",
    entry_points=("frequent_letters", "common", "often_used", "repeated"),
    parameters=("s",),
    openings=(
        "Write {call} that lists the letters whose count in s is above a limit.",
        "Implement {call}: return a list of the letters found in s more often than a limit.",
        "Create {call}, which lists every letter that s holds more often than a limit.",
    ),
    facts=(facts.limit(range(1, 30)), facts.inclusive(), facts.order(), _BLANKS),
    solution=_frequent_letters_solution,
    inputs=_frequent_letters_inputs,
)


# is_palindrome

_SHORTEST = number(
    "shortest",
    range(2, 41),
    says=(
        "If the whole length of s is below {v}, the answer is no.",
        "The length of s as given must be at least {v}.",
        "The shortest length of s, with all that is in it, is {v}.",
    ),
    answers=("The length must be at least {v}.", "At least {v}.", "Below a length of {v} it is no."),
    vague=("The length of s must suffice.", "Very short strings do not pass."),
    asks=("Which length must s have?", "What is the shortest length?", "Is there a least length, and which?"),
)

_VERDICT = choice(
    "verdict",
    {
        "bool": (
            ("Return True or False.", "The outcome is True or False.", "Answer True or False."),
            ("True or False.", "Return True or False."),
        ),
        "word": (
            ("Return 'yes' or 'no'.", "The outcome is 'yes' or 'no'.", "Answer 'yes' or 'no'."),
            ("'yes' or 'no'.", "Return 'yes' or 'no'."),
        ),
        "number": (
            ("Return 1 or 0.", "The outcome is 1 or 0.", "Answer 1 or 0."),
            ("1 or 0.", "Return 1 or 0."),
        ),
    },
    vague=("Return a clear outcome.", "The outcome must be easy to use."),
    asks=("What is the outcome: True or 'yes'?", "Which outcome do you want?", "Should I answer True, 'yes' or 1?"),
)

_GAPS = choice(
    "gaps",
    {
        True: (
            ("Spaces do not matter.", "Remove spaces first.", "Drop every space before the check."),
            ("Spaces do not matter.", "Remove spaces first."),
        ),
        False: (
            ("Spaces are like letters.", "Leave spaces in.", "A space is a character too."),
            ("Spaces are like letters.", "Leave spaces in."),
        ),
    },
    vague=("Treat spaces properly.", "Mind the spaces."),
    asks=("What about spaces?", "Should spaces be removed?", "Is a space a character here?"),
)


def _is_palindrome_solution(name: str, c: Choices) -> str:
    same = "t == t[::-1]"
    final = {"bool": same, "word": f'"yes" if {same} else "no"', "number": f"int({same})"}[str(c["verdict"])]
    no = {"bool": "False", "word": '"no"', "number": "0"}[str(c["verdict"])]
    lower = ".lower()" if c["case"] == "ignored" else ""
    gaps = '.replace(" ", "")' if c["gaps"] else ""
    return code(
        f"def {name}(s):",
        f"    if len(s) < {c['shortest']}:",
        f"        return {no}",
        f"    t = s{lower}{gaps}",
        f"    return {final}",
    )


def _is_palindrome_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    """Palindromes around the shortest length, often spoilt by one upper case letter or one space."""
    length = max(2, integer(c, "shortest") + rng.choice((-3, -2, -1, -1, 0, 0, 1, 3, 9)))
    half = [rng.choice("abc") for _ in range((length + 1) // 2)]
    letters = half + half[::-1][length % 2 :]
    spoilt = rng.choice(("", "", "case", "space"))
    if spoilt == "case":
        letters[0] = letters[0].upper()
    if spoilt == "space":
        letters.insert(1, " ")
    return ("".join(letters),)


IS_PALINDROME = Family(
    name="is_palindrome",
    area="strings",
    entry_points=("is_palindrome", "palindrome", "check_mirror", "same_backwards"),
    parameters=("s",),
    openings=(
        "Write {call} that tells whether s reads the same backwards.",
        "Implement {call}: is the string s a palindrome?",
        "Create {call}, which checks that s equals s in reverse.",
    ),
    facts=(_SHORTEST, facts.case(), _GAPS, _VERDICT),
    solution=_is_palindrome_solution,
    inputs=_is_palindrome_inputs,
)


FAMILIES: tuple[Family, ...] = (COUNT_VOWELS, LETTER_SCORE, WORD_POSITION, FREQUENT_LETTERS, IS_PALINDROME)
