"""Twenty small problems as a user may have them: statements, references and tests as pairs, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

KINDS: tuple[tuple[str, str, str, tuple[tuple[object, ...], ...]], ...] = (
    (
        "find the numbers of a list that are above a limit",
        "above",
        "def {name}(numbers, limit):\n    return [n for n in numbers if n > limit]\n",
        (([3, 9, 1, 7], 2), ([5, 5, 8], 4), ([1, 2, 3], 0), ([9, 4, 6, 2], 3)),
    ),
    (
        "check whether a word reads the same backwards",
        "palindrome",
        "def {name}(word):\n    return word == word[::-1]\n",
        (("level",), ("word",), ("noon",), ("ab",)),
    ),
    (
        "find the mean of a list of numbers",
        "mean",
        "def {name}(numbers):\n    return sum(numbers) / len(numbers)\n",
        (([1, 2, 4],), ([5, 6, 8, 9],), ([1, 1, 2],), ([7, 3, 3],)),
    ),
    (
        "find the position of a value in a list",
        "position",
        "def {name}(items, value):\n    return items.index(value) if value in items else -1\n",
        (([4, 5, 6], 6), ([1, 2], 1), ([3, 3, 9, 1], 9), ([7, 8, 9, 10], 10)),
    ),
    (
        "find the sum of the first n numbers",
        "sum_first",
        "def {name}(n):\n    return n * (n + 1) // 2\n",
        ((4,), (10,), (7,), (1,)),
    ),
)
WAYS = ("", " for a report", " of a school", " in a shop")


def rows() -> list[Mapping[str, object]]:
    """Twenty rows: each kind in four wordings."""
    return [_row(kind, way) for way in range(len(WAYS)) for kind in KINDS]


def _row(kind: tuple[str, str, str, tuple[tuple[object, ...], ...]], way: int) -> Mapping[str, object]:
    says, name, code, inputs = kind
    own, names = f"{name}_{way}", dict[str, object]()
    program = code.format(name=own)
    exec(program, names)
    function = names[own]
    assert callable(function)
    return {
        "id": f"{name}-{way}",
        "task": f"Write a function to {says}{WAYS[way]}.",
        "function": own,
        "answer": program,
        "cases": [{"input": list(args), "output": function(*args)} for args in inputs],
    }


def write(path: Path) -> Path:
    """A file of the rows, whose fields have names of their own."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    return path


FIELDS = "statement=task,entry_point=function,reference=answer,tests=cases"
