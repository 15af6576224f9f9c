"""Families over dictionaries."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number

_KEYS = ("a", "b", "c", "d", "e", "f", "g", "h")


def _keys(rng: Random, most: int) -> list[str]:
    return rng.sample(_KEYS, rng.randint(0, most))


def _amounts(rng: Random, centres: tuple[int, ...], most: int = 6) -> dict[str, int]:
    """A dict whose values lie around the centres, with ties."""
    return {key: rng.choice(centres) + rng.randint(-2, 3) for key in _keys(rng, most)}


# lookup_values


def _lookup_values_solution(name: str, c: Choices) -> str:
    source = "dict.fromkeys(keys)" if c["duplicates"] == "drop" else "keys"
    final = {"asc": "sorted(found)", "desc": "sorted(found, reverse=True)", "kept": "found"}[str(c["order"])]
    return code(
        f"def {name}(d, keys):",
        f"    found = [min(d.get(k, {c['default']}), {c['maximum']}) for k in {source}]",
        f"    return {final}",
    )


def _lookup_values_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    d = _amounts(rng, (integer(c, "default"), integer(c, "maximum"), integer(c, "maximum")))
    pool = rng.sample(_KEYS, 4)
    return d, [rng.choice(pool) for _ in range(rng.randint(1, 7))]


LOOKUP_VALUES = Family(
    name="lookup_values",
    area="dictionaries",
    entry_points=("lookup", "values_of", "fetch", "read_values"),
    parameters=("d", "keys"),
    openings=(
        "Write {call} that looks up the keys in d and lists what it finds.",
        "Implement {call}: return a list with what the dict d holds for the keys.",
        "Create {call}, which reads the keys from the dict d into a list.",
    ),
    facts=(facts.default(range(1, 50)), facts.maximum(range(50, 90)), facts.order(), facts.duplicates()),
    solution=_lookup_values_solution,
    inputs=_lookup_values_inputs,
)


# invert_dict


def _invert_dict_solution(name: str, c: Choices) -> str:
    store = {
        "first": "out.setdefault(v, k)",
        "last": "out[v] = k",
        "larger": "out[v] = max(k, out.get(v, k))",
        "smaller": "out[v] = min(k, out.get(v, k))",
    }[str(c["tie"])]
    sign = ">=" if c["inclusive"] else ">"
    return code(
        f"def {name}(d):",
        "    out = {}",
        "    for k, v in d.items():",
        f"        if v {sign} {c['limit']}:",
        f"            {store}",
        "    return out",
    )


_TIE = choice(
    "tie",
    {
        "first": (
            ("If two keys share a value, keep the first key.", "On a clash the first key stays."),
            ("The first key.", "Keep the first key."),
        ),
        "last": (
            ("If two keys share a value, keep the last key.", "On a clash the last key stays."),
            ("The last key.", "Keep the last key."),
        ),
        "larger": (
            ("If two keys share a value, keep the larger key.", "On a clash the larger key stays."),
            ("The larger key.", "Keep the larger key."),
        ),
        "smaller": (
            ("If two keys share a value, keep the smaller key.", "On a clash the smaller key stays."),
            ("The smaller key.", "Keep the smaller key."),
        ),
    },
    vague=("Handle keys that share a value well.", "Resolve a clash of keys properly."),
    asks=("Which key stays on a clash?", "What if two keys share a value?", "What happens on a clash?"),
)

INVERT_DICT = Family(
    name="invert_dict",
    area="dictionaries",
    entry_points=("invert", "swap_dict", "reverse_dict", "flip"),
    parameters=("d",),
    openings=(
        "Write {call} that turns d around for values above a limit: values become keys.",
        "Implement {call}: map each value of d above a limit to its key.",
        "Create {call}, which swaps keys and values of d where the value exceeds a limit.",
    ),
    facts=(facts.limit(range(2, 90)), facts.inclusive(), _TIE),
    solution=_invert_dict_solution,
    inputs=lambda rng, c: (_amounts(rng, (integer(c, "limit"),)),),
)


# merge_dicts

_MERGE = {
    "first": "out.setdefault(k, v)",
    "last": "out[k] = v",
    "sum": "out[k] = out.get(k, 0) + v",
    "larger": "out[k] = max(out.get(k, v), v)",
    "smaller": "out[k] = min(out.get(k, v), v)",
}


def _merge_dicts_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(a, b):",
        f"    out = {{k: {c['default']} if v is None else v for k, v in a.items()}}",
        "    for k, v in b.items():",
        f"        v = {c['default']} if v is None else v",
        f"        {_MERGE[str(c['clash'])]}",
        f"    return {{k: min(v, {c['maximum']}) for k, v in out.items()}}",
    )


def _merge_dicts_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    centres = (integer(c, "default"), integer(c, "maximum"), 5)

    def side() -> dict[str, int | None]:
        return {key: v if rng.random() < 0.7 else None for key, v in _amounts(rng, centres).items()}

    return side(), side()


MERGE_DICTS = Family(
    name="merge_dicts",
    area="dictionaries",
    entry_points=("merge", "combine", "join_dicts", "merged"),
    parameters=("a", "b"),
    openings=(
        "Write {call} that merges the dicts a and b; None means missing.",
        "Implement {call}: join the dicts a and b into one, where None is a missing value.",
        "Create {call}, which combines dict a with dict b; missing values are None.",
    ),
    facts=(facts.clash(), facts.default(range(1, 40)), facts.maximum(range(40, 90))),
    solution=_merge_dicts_solution,
    inputs=_merge_dicts_inputs,
)


# best_key


def _best_key_solution(name: str, c: Choices) -> str:
    pick = {"first": "best[0]", "last": "best[-1]", "name": "min(best)"}[str(c["ties"])]
    sign = ">=" if c["inclusive"] else ">"
    return code(
        f"def {name}(d):",
        "    top = max(d.values(), default=0)",
        "    best = [k for k in d if d[k] == top]",
        f"    return {pick} if top {sign} {c['limit']} else {c['not_found']}",
    )


def _best_key_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    top = integer(c, "limit") + rng.choice((-1, 0, 0, 1, 2))
    return ({key: top - rng.choice((0, 0, 1)) for key in _keys(rng, 5)},)


BEST_KEY = Family(
    name="best_key",
    area="dictionaries",
    entry_points=("best_key", "winner", "top_key", "leader"),
    parameters=("d",),
    openings=(
        "Write {call} that returns the key of the highest value in d, if above a limit.",
        "Implement {call}: which key of d has the highest value above a limit?",
        "Create {call}, which tells the key with the highest value of d above a limit.",
    ),
    facts=(facts.limit(range(5, 60)), facts.inclusive(), facts.ties(), facts.not_found(range(-20, 0))),
    solution=_best_key_solution,
    inputs=_best_key_inputs,
)


# sum_by_name

_BEGIN = number(
    "begin",
    range(1, 50),
    says=("Each sum begins with {v}.", "Every name begins with {v}.", "The initial sum is {v}."),
    answers=("It begins with {v}.", "{v} initially.", "The initial sum is {v}."),
    vague=("Each sum begins as usual.", "Choose a fair initial sum."),
    asks=("With what does each sum begin?", "What is the initial sum?", "How do sums begin?"),
)

_NEGATIVE = choice(
    "negative",
    {
        "zero": (
            ("Count negative amounts as 0.", "Negative amounts become 0."),
            ("Count them as 0.", "They become 0."),
        ),
        "absolute": (
            ("Drop the sign of negative amounts.", "Negative amounts lose their sign."),
            ("Drop the sign.", "They lose their sign."),
        ),
        "subtract": (
            ("Subtract negative amounts.", "Negative amounts reduce it."),
            ("Subtract them.", "They reduce it."),
        ),
    },
    vague=("Handle negative amounts well.", "Mind negative amounts."),
    asks=("What about negative amounts?", "How do I treat a negative amount?", "May amounts be negative?"),
)


def _sum_by_name_solution(name: str, c: Choices) -> str:
    key = "name.lower()" if c["lowercase"] else "name"
    amount = {"zero": "max(n, 0)", "absolute": "abs(n)", "subtract": "n"}[str(c["negative"])]
    return code(
        f"def {name}(pairs):",
        "    sums = {}",
        "    for name, n in pairs:",
        f"        key = {key}",
        f"        sums[key] = sums.get(key, {c['begin']}) + {amount}",
        f"    return {{k: min(v, {c['maximum']}) for k, v in sums.items()}}",
    )


def _sum_by_name_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    room = integer(c, "maximum") - integer(c, "begin")
    amounts = (1, 2, -1, -3, room // 2, room - 1, room, room + 1)
    return ([(rng.choice(("ann", "Ann", "bob", "BOB")), rng.choice(amounts)) for _ in range(rng.randint(0, 5))],)


SUM_BY_NAME = Family(
    name="sum_by_name",
    area="dictionaries",
    entry_points=("sum_by_name", "add_up", "balances", "collect"),
    parameters=("pairs",),
    openings=(
        "Write {call} that adds up the amounts of each name in (name, amount) pairs.",
        "Implement {call}: return a dict from name to the sum of its amounts, given (name, amount) pairs.",
        "Create {call}, which turns (name, amount) pairs into a dict of sums.",
    ),
    facts=(_BEGIN, facts.maximum(range(50, 90)), facts.lowercase(), _NEGATIVE),
    solution=_sum_by_name_solution,
    inputs=_sum_by_name_inputs,
)


# common_words

_LENGTH = number(
    "length",
    range(1, 13),
    says=(
        "Skip words of fewer than {v} letters.",
        "Words need at least {v} letters.",
        "The shortest word has {v} letters.",
    ),
    answers=("At least {v} letters.", "Words need {v} letters.", "{v} letters."),
    vague=("Skip very short words.", "Words need enough letters."),
    asks=("How many letters do words need?", "Which words are too short?", "What is the shortest word?"),
)


def _common_words_solution(name: str, c: Choices) -> str:
    sign = ">=" if c["inclusive"] else ">"
    words = "[w.lower() for w in words]" if c["lowercase"] else "words"
    return code(
        f"def {name}(words):",
        "    counts = {}",
        f"    for w in {words}:",
        f"        if len(w) >= {c['length']}:",
        "            counts[w] = counts.get(w, 0) + 1",
        f"    return {{w: n for w, n in counts.items() if n {sign} {c['limit']}}}",
    )


def _common_words_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    words: list[str] = []
    for _ in range(rng.randint(0, 3)):
        word = rng.choice("ab") * max(1, integer(c, "length") + rng.choice((-1, -1, 0, 0, 1)))
        count = max(0, integer(c, "limit") + rng.randint(-1, 2))
        words += [word] * count
        if count and rng.random() < 0.4:
            words[-1] = word.upper()
    return (rng.sample(words, len(words)),)


COMMON_WORDS = Family(
    name="common_words",
    area="dictionaries",
    entry_points=("common_words", "word_counts", "count_often", "tally"),
    parameters=("words",),
    openings=(
        "Write {call} that counts words and keeps counts above a limit in a dict.",
        "Implement {call}: return a dict of the words that occur more often than a limit, with their counts.",
        "Create {call}, which maps each word to its count if that exceeds a limit.",
    ),
    facts=(_LENGTH, facts.limit(range(1, 12)), facts.inclusive(), facts.lowercase()),
    solution=_common_words_solution,
    inputs=_common_words_inputs,
)


FAMILIES: tuple[Family, ...] = (LOOKUP_VALUES, INVERT_DICT, MERGE_DICTS, BEST_KEY, SUM_BY_NAME, COMMON_WORDS)
