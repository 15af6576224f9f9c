"""Words and stems: how synthesis says what a fact is about, and how users recognise a question about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_WORD = re.compile(r"[a-z]+|\d+")
_SUFFIXES = "ations ation ively ingly ings ing ives ive ions ion edly ed ies es ly s e y".split()

STOP_WORDS = frozenset(
    """a about above after all also an and any are as ask at be because been before being below between both but by can
    clarify code come could count do does done each else ever exactly few for form found from function get give
    given go good has have how i if implement in instead into is it its just kind know less like list make many may
    me mean meant mind more most much must my need needed no not now number numbers of off on once one only or other
    otherwise our out over per please proper properly put result return returned returns right same say sensible
    sensibly set should so some still such suitable take than that the their them then there these they thing this
    those to under up use used using usual usually value values very wanted was way well were what when where
    whether which while who whom whose why will with would write yes you your""".split()
)


# What is done to things, and how things are: said of many facts, so that such words alone never say which one is meant.
_GENERIC = """
    add again allow allowed appear apply become becomes care careful certain change choose come comes common count
    counted counts deal discard drop easy enough error ever exception fair find fine fit fitting get gets give gives
    giving goes gone graceful handle handled happen happens here instead keep keeps kept leave left let look matter
    matters natural need nice none often open pick place prefer raise raises read reject remain remove replace
    resolve return s something stay stays suitably take think time times too treat treated turn two useful
    ValueError want work x
"""


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text, in order."""
    return _WORD.findall(text.lower())


def stem(word: str) -> str:
    """A crude stem: `sorted`, `sorting` and `sort` give one stem; short words stay whole."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] else word


@lru_cache(maxsize=50_000)
def stems(text: str) -> frozenset[str]:
    """Stems of the content words of a text; stop words and numbers are left out."""
    return frozenset(stem(word) for word in words(text) if word not in STOP_WORDS and not word.isdigit())


GENERIC = frozenset(stem(word) for word in words(_GENERIC))


def distinctive(texts: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Stems that in `texts` and not in `others`, sorted; generic ones are left out."""
    mine = frozenset[str]().union(*(stems(text) for text in texts))
    theirs = frozenset[str]().union(*(stems(text) for text in others))
    return tuple(sorted(mine - theirs - GENERIC))
