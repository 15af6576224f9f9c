"""Families that read a text format."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number, word

# parse_pairs

_SIGN = word(
    "sign",
    ("=", ":", ">", "-", "~"),
    says=(
        "The sign after a key is {v!r}.",
        "Each key stands before the sign {v!r}.",
        "The sign {v!r} follows each key.",
    ),
    answers=("The sign is {v!r}.", "It is {v!r}.", "{v!r}."),
    vague=("The sign after a key is the usual one.", "A common sign follows each key."),
    asks=("Which sign follows a key?", "What sign stands after each key?", "What follows a key?"),
)

_REPEATED = choice(
    "repeated",
    {
        "first": (
            (
                "In case of repeats, keep the first.",
                "Of repeated entries, the first wins.",
                "On a repeat, ignore the later one.",
            ),
            ("The first wins.", "Keep the first."),
        ),
        "last": (
            (
                "In case of repeats, keep the last.",
                "Of repeated entries, the last wins.",
                "On a repeat, ignore the earlier one.",
            ),
            ("The last wins.", "Keep the last."),
        ),
        "sum": (
            ("In case of repeats, add them up.", "Repeated entries are added up.", "On a repeat, add both."),
            ("Add them up.", "They are added up."),
        ),
    },
    vague=("Handle repeats well.", "Mind repeated entries."),
    asks=("What about repeats?", "Which of repeated entries wins?", "What happens on a repeat?"),
)


def _parse_pairs_solution(name: str, c: Choices) -> str:
    number_ = f"int(v or {c['default']})"
    store = {
        "first": f"out.setdefault(k, {number_})",
        "last": f"out[k] = {number_}",
        "sum": f"out[k] = out.get(k, 0) + {number_}",
    }
    return code(
        f"def {name}(s):",
        "    out = {}",
        f"    for part in s.split({c['separator']!r}):",
        f"        k, _, v = part.partition({c['sign']!r})",
        f"        {store[str(c['repeated'])]}",
        "    return out",
    )


def _parse_pairs_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    def entry() -> str:
        value = rng.choice(("", rng.randint(1, 99), rng.randint(1, 99)))
        return f"{rng.choice('abc')}{c['sign'] if value or rng.random() < 0.5 else ''}{value}"

    return (str(c["separator"]).join(entry() for _ in range(rng.randint(1, 5))),)


PARSE_PAIRS = Family(
    name="parse_pairs",
    area="text",
    entry_points=("parse_pairs", "parse", "read_settings", "to_dict"),
    parameters=("s",),
    openings=(
        "Write {call} that parses keys with whole numbers from s into a dict.",
        "Implement {call}: read the text s, which holds keys with numbers, into a dict.",
        "Create {call}, which turns a text of keys and whole numbers into a dict.",
    ),
    facts=(facts.separator((";", ",", "|", "/", "&", "+")), _SIGN, facts.default(range(1, 70)), _REPEATED),
    solution=_parse_pairs_solution,
    inputs=_parse_pairs_inputs,
)


# split_fields

_BLANK = choice(
    "blank",
    {
        "keep": (
            ("Keep empty fields.", "Empty fields stay empty.", "An empty field remains."),
            ("Keep them.", "They stay empty."),
        ),
        "drop": (
            ("Drop empty fields.", "Empty fields are dropped.", "An empty field is left out."),
            ("Drop them.", "They are dropped."),
        ),
        **{
            mark: (
                (
                    f"Replace empty fields by {mark!r}.",
                    f"Empty fields become {mark!r}.",
                    f"An empty field becomes {mark!r}.",
                ),
                (f"They become {mark!r}.", f"Replace them by {mark!r}."),
            )
            for mark in ("?", "-", "none", "0")
        },
    },
    vague=("Handle empty fields well.", "Mind that a field may be empty."),
    asks=("What about empty fields?", "What if a field is empty?", "Are empty fields dropped?"),
)


def _split_fields_solution(name: str, c: Choices) -> str:
    blank = {"keep": None, "drop": "    xs = [x for x in xs if x]"}.get(
        str(c["blank"]), f"    xs = [x or {c['blank']!r} for x in xs]"
    )
    return code(
        f"def {name}(s):",
        f"    xs = s.split({c['separator']!r})",
        "    xs = [x.strip() for x in xs]" if c["trim"] else None,
        blank,
        f"    return xs[:{c['most']}]",
    )


def _split_fields_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    most = integer(c, "most")
    size = most + rng.choice((-1, 0, 1, 2, most // 3 + 2, most // 3 + 3))
    return (str(c["separator"]).join(rng.choice(("a", "b", " c", "d ", "", "e")) for _ in range(size)),)


SPLIT_FIELDS = Family(
    name="split_fields",
    area="text",
    entry_points=("split_fields", "fields", "split_line", "read_row"),
    parameters=("s",),
    openings=(
        "Write {call} that splits the line s into fields.",
        "Implement {call}: return the fields of the line s as a list.",
        "Create {call}, which reads a list of fields from the line s.",
    ),
    facts=(facts.separator(), facts.trim(), _BLANK, facts.most(range(3, 43))),
    solution=_split_fields_solution,
    inputs=_split_fields_inputs,
)


# sum_text

_BAD = number(
    "bad",
    range(1, 60),
    says=("An entry that is no number counts as {v}.", "Count {v} for bad entries.", "Bad entries count as {v}."),
    answers=("It counts as {v}.", "Count {v}.", "{v}."),
    vague=("Treat bad entries properly.", "Mind that an entry may be no number."),
    asks=("What do bad entries count as?", "What if an entry is no number?", "How do I treat bad entries?"),
)


def _sum_text_solution(name: str, c: Choices) -> str:
    parts = f"s.split({c['separator']!r})"
    return code(
        f"def {name}(s):",
        "    total = 0",
        f"    for x in {f'set({parts})' if c['duplicates'] == 'drop' else parts}:",
        f"        n = int(x) if x.isdigit() else {c['bad']}",
        f"        total += min(n, {c['maximum']})",
        "    return total",
    )


def _sum_text_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit = integer(c, "maximum")
    pool = ("x", "", "no", 3, 8, limit - 1, limit, limit + 1, limit + 20)
    return (str(c["separator"]).join(str(rng.choice(pool)) for _ in range(rng.randint(1, 5))),)


SUM_TEXT = Family(
    name="sum_text",
    area="text",
    entry_points=("sum_text", "add_entries", "total", "read_and_add"),
    parameters=("s",),
    openings=(
        "Write {call} that adds up the whole numbers in the text s.",
        "Implement {call}: s lists numbers; return their sum.",
        "Create {call}, which reads a list of numbers from s and adds them up.",
    ),
    facts=(facts.separator(), _BAD, facts.maximum(range(60, 90)), facts.duplicates()),
    solution=_sum_text_solution,
    inputs=_sum_text_inputs,
)


FAMILIES: tuple[Family, ...] = (PARSE_PAIRS, SPLIT_FIELDS, SUM_TEXT)
