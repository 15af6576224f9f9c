"""All families, by area. One module an area; each module ends with a tuple FAMILIES."""

from clarify_rl.problems.bank.families import (
    dictionaries,
    digits,
    intervals,
    lists,
    measures,
    numbers,
    pairs,
    parsing,
    people,
    records,
    string_cuts,
    string_edits,
    strings,
    text,
    totals,
)
from clarify_rl.problems.bank.spec import Family

FAMILIES: tuple[Family, ...] = (
    *numbers.FAMILIES,
    *digits.FAMILIES,
    *measures.FAMILIES,
    *lists.FAMILIES,
    *totals.FAMILIES,
    *strings.FAMILIES,
    *string_cuts.FAMILIES,
    *string_edits.FAMILIES,
    *dictionaries.FAMILIES,
    *pairs.FAMILIES,
    *people.FAMILIES,
    *records.FAMILIES,
    *intervals.FAMILIES,
    *parsing.FAMILIES,
    *text.FAMILIES,
)
