"""All families, by area. One module an area; each module ends with a tuple FAMILIES."""

from clarify_rl.problems.bank.families import (
    dictionaries,
    intervals,
    lists,
    measures,
    numbers,
    records,
    strings,
    text,
    totals,
)
from clarify_rl.problems.bank.spec import Family

FAMILIES: tuple[Family, ...] = (
    *numbers.FAMILIES,
    *measures.FAMILIES,
    *lists.FAMILIES,
    *totals.FAMILIES,
    *strings.FAMILIES,
    *dictionaries.FAMILIES,
    *records.FAMILIES,
    *intervals.FAMILIES,
    *text.FAMILIES,
)
