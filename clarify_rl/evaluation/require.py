"""A demand on a comparison, for scripts and CI: "solved +2 at 95%" holds or does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from clarify_rl.errors import ConfigError, unknown_name
from clarify_rl.evaluation.metrics import GROUPS, MEASURES, Group, Metric
from clarify_rl.evaluation.paired import PairedDifference, paired_difference
from clarify_rl.types import Results

_EXAMPLES = (
    '"solved +2 at 95%", "solved clear -1", "asked clear below +2 at 90% on new_instances", '
    '"solved +5 at 95% for rl over base"'
)
_DEMAND = re.compile(
    r"(?P<metric>\w+)(?: (?P<group>all|clear|unclear))?(?P<below> below)? (?P<points>[+-]\d+(?:\.\d+)?)"
    r"(?: at (?P<confidence>\d+(?:\.\d+)?)%)?(?: on (?P<suite>\S+))?(?: for (?P<after>\S+) over (?P<before>\S+))?"
)


@dataclass(frozen=True)
class Demand:
    """The difference must be at least `points` by the lower end of its interval; `below`: at most, by the upper end.

    `suite` "" is the first; `after` and `before` "" are the last checkpoint and the one before it.
    """

    text: str
    metric: Metric
    group: Group
    points: float
    below: bool = False
    confidence: float = 0.95
    suite: str = ""
    after: str = ""
    before: str = ""


@dataclass(frozen=True)
class Ruling:
    """Whether a demand holds, and the difference that says so."""

    demand: str
    holds: bool
    difference: PairedDifference

    def sentence(self) -> str:
        found = self.difference
        if found.points is None or found.low is None or found.high is None:
            seen = "nothing could be compared" if found.points is None else "there is no interval with one problem"
        else:
            seen = f"{found.points:+.1f}, {100 * found.confidence:g}% interval {found.low:+.1f} to {found.high:+.1f}"
        of = f"{found.after} over {found.before} on {found.suite}"
        return f"{'holds' if self.holds else 'does not hold'}: {self.demand} ({of}: {seen})"


def demand(text: str) -> Demand:
    """The demand that a text states. ConfigError for one that cannot be read."""
    match = _DEMAND.fullmatch(" ".join(text.split()))
    if match is None:
        raise ConfigError(f"--require {text!r} cannot be read. Such as: {_EXAMPLES}.")
    if match["metric"] not in MEASURES:
        raise ConfigError(f"--require {text!r}: {unknown_name('metric', match['metric'], MEASURES)}")
    confidence = float(match["confidence"] or 95) / 100
    if not 0 < confidence < 1:
        raise ConfigError(f"--require {text!r}: a confidence lies between 0% and 100%.")
    group = match["group"] or GROUPS[0]
    return Demand(
        text,
        cast(Metric, match["metric"]),
        cast(Group, group),
        float(match["points"]),
        bool(match["below"]),
        confidence,
        match["suite"] or "",
        match["after"] or "",
        match["before"] or "",
    )


def judge(wanted: Demand, results: Sequence[Results], *, seed: int = 0) -> Ruling:
    """Whether the results meet a demand. ConfigError where it names what they have not."""
    suites = list(dict.fromkeys(result.suite for result in results))
    suite = wanted.suite or suites[0]
    played = {result.checkpoint: result for result in results if result.suite == suite}
    if suite not in suites:
        raise ConfigError(f"--require {wanted.text!r}: {unknown_name('suite', suite, suites)}")
    if len(played) < 2:
        raise ConfigError(f"--require {wanted.text!r}: {suite} was played by one checkpoint only, so nothing compares.")
    *_, second, last = played
    after, before = wanted.after or last, wanted.before or second
    for name in (after, before):
        if name not in played:
            raise ConfigError(f"--require {wanted.text!r}: {unknown_name('checkpoint', name, played)}")
    found = paired_difference(
        played[before], played[after], seed=seed, confidence=wanted.confidence, metric=wanted.metric, group=wanted.group
    )
    end = found.high if wanted.below else found.low
    holds = end is not None and (end <= wanted.points if wanted.below else end >= wanted.points)
    return Ruling(wanted.text, holds, found)
