"""Bounds that a statement gives for its inputs, such as `1 <= nums.length <= 100` and `-10 <= nums[i] <= 10^4`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

_NUMBER = r"-?\d[\d,_]*(?:(?:\^|\*\*)\d+)?(?: ?[*·] ?\d+(?:(?:\^|\*\*)\d+)?)?(?: ?[-+] ?\d+)?"
_PLACE = r"(?:len\(\w+\)|\|\w+\||\w+(?:\[\w+\])*(?:\.length|\.size)?)"
_LESS = r"(?:<=|<|≤|&lt;=)"
_BOUND = re.compile(
    rf"(?P<low>{_NUMBER}) ?(?P<above>{_LESS}) ?(?P<places>{_PLACE}(?:(?:, ?| ?{_LESS} ?){_PLACE})*) ?"
    rf"(?P<below>{_LESS}) ?(?P<high>{_NUMBER})"
)


@dataclass(frozen=True)
class Bounds:
    """What numbers in one parameter may be, and how long it may be; None where the statement does not say."""

    low: int | None = None
    high: int | None = None
    shortest: int | None = None
    longest: int | None = None


def bounds_in(statement: str, names: Sequence[str]) -> Mapping[str, Bounds]:
    """The bounds of each parameter that a statement bounds."""
    found: dict[str, Bounds] = {}
    for match in _BOUND.finditer(statement.replace("\xa0", " ")):
        low = _number(match["low"]) + (match["above"] == "<")
        high = _number(match["high"]) - (match["below"] == "<")
        if low > high:
            continue
        for place in re.findall(_PLACE, match["places"]):
            name = next((word for word in re.findall(r"\w+", place) if word in names), None)
            if name is None:
                continue
            known, inner = found.get(name, Bounds()), "[" in place
            if not _is_length(place):
                found[name] = replace(known, low=low, high=high)
            elif not inner:
                found[name] = replace(known, shortest=low, longest=high)
    return found


def _is_length(place: str) -> bool:
    return place.startswith(("len(", "|")) or place.endswith((".length", ".size"))


def _number(text: str) -> int:
    """A number as statements write it: 10^5, 2 * 10^4, 2^31 - 1, 1,000."""
    parts = re.fullmatch(r"(-?)(.+?)(?: ?([-+]) ?(\d+))?", text.replace(",", "").replace("_", ""))
    assert parts is not None
    value = 1
    for factor in re.split(r" ?(?<!\*)[*·](?!\*) ?", parts[2]):
        base, _, power = factor.replace("**", "^").partition("^")
        value *= int(base) ** int(power or 1)
    value = -value if parts[1] else value
    return value + int(f"{parts[3]}{parts[4]}") if parts[3] else value
