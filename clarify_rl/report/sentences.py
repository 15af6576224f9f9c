"""Numbers in plain words: the same sentences stand in the terminal, in the HTML page and in its headline."""

from __future__ import annotations

from clarify_rl.evaluation.compare import Comparison
from clarify_rl.evaluation.metrics import GroupSummary, Mean, Metric, Summary
from clarify_rl.evaluation.paired import PairedDifference

_CLAIMS: dict[Metric, str] = {
    "solved": "{after} solves {amount} than {before}",
    "pass_rate": "{after} passes {amount} of the tests than {before}",
    "asked": "{after} asks {amount} often than {before}",
}
_PLACES = {"all": "", "clear": " on clear variants", "unclear": " on unclear variants"}


def percent(mean: Mean) -> str:
    """A share in percent with one decimal, or a dash where nothing could be measured."""
    return "-" if mean.value is None else f"{100 * mean.value:.1f}"


def headline(comparison: Comparison) -> str:
    """What to read first: on the first suite, the last checkpoint against the one before, or what a single one does."""
    suite = comparison.suites[0]
    pair = comparison.last_two
    difference = comparison.difference(*pair, suite, "solved") if pair else None
    if difference is None:
        return f"{_solved(comparison.summaries[-1])} on {comparison.summaries[-1].suite}"
    return f"{claim(difference)} on {suite}{_doubt(difference)}"


def against_the_first(comparison: Comparison) -> str:
    """What to read second: the last checkpoint against the first, where others stand between them; else ""."""
    if len(comparison.checkpoints) < 3:
        return ""
    first, last = comparison.checkpoints[0], comparison.checkpoints[-1]
    difference = comparison.difference(first, last, comparison.suites[0], "solved")
    return f"{claim(difference)}{_doubt(difference)}" if difference else ""


def _doubt(difference: PairedDifference) -> str:
    return ", which may be chance" if may_be_chance(difference) else ""


def asking_sentence(summary: Summary) -> str:
    """Ask-recall and false-ask rate in one breath: neither means anything alone."""
    unclear, clear = summary.group("unclear"), summary.group("clear")
    return f"{summary.checkpoint} asks on {_share(unclear)} unclear variants and on {_share(clear)} clear ones"


def difference_sentence(difference: PairedDifference) -> str:
    """For example: rl solves 12.3 points more than sft (95% interval 8.1 to 16.4; ...)."""
    return f"{claim(difference)} ({evidence(difference)})"


def claim(difference: PairedDifference) -> str:
    place = _PLACES[difference.group]
    if difference.points is None:
        return f"{difference.after} and {difference.before} share no measured episode{place}"
    amount = f"{abs(difference.points):.1f} points {'more' if difference.points >= 0 else 'less'}"
    words = _CLAIMS[difference.metric].format(after=difference.after, before=difference.before, amount=amount)
    return words + place


def evidence(difference: PairedDifference) -> str:
    """Interval, test and counts, and what was left out of them."""
    parts = [_interval(difference)]
    if difference.p is not None:
        parts.append(f"p {_p(difference.p)}{_holm(difference)}")
    if difference.mcnemar:
        won, lost = ("asked newly", "no longer") if difference.metric == "asked" else ("won", "lost")
        parts.append(f"{difference.mcnemar.won} {won}, {difference.mcnemar.lost} {lost}, of {difference.pairs}")
    else:
        parts.append(f"of {difference.pairs}")
    if may_be_chance(difference) and difference.detectable:
        parts.append(f"so many variants show a difference of {difference.detectable:.1f} points 4 times out of 5")
    if difference.unmeasured:
        parts.append(f"{difference.unmeasured} more could not be measured")
    if difference.missing:
        parts.append(f"{difference.missing} more are in only one of the two")
    return "; ".join(parts)


def _holm(difference: PairedDifference) -> str:
    """The corrected p, where there was something to correct for."""
    corrected = difference.holm
    return "" if corrected is None or corrected == difference.p else f", {_p(corrected)} by Holm"


def may_be_chance(difference: PairedDifference) -> bool:
    """Whether the interval leaves room for no difference at all, or there is no interval."""
    return difference.low is None or difference.high is None or difference.low <= 0 <= difference.high


def _interval(difference: PairedDifference) -> str:
    if difference.low is None or difference.high is None:
        return "no interval: it takes two problems"
    return f"{100 * difference.confidence:g}% interval {difference.low:.1f} to {difference.high:.1f}"


def _p(p: float) -> str:
    return "below 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def _solved(summary: Summary) -> str:
    group = summary.group("all")
    if group is None or group.solved.value is None:
        return f"{summary.checkpoint}: no episode could be measured"
    return f"{summary.checkpoint} solves {percent(group.solved)}% of {group.solved.n} variants"


def tries_sentence(summary: Summary) -> str:
    """For example: rl solves 62.1% of the unclear in one try, 70.3% in 5. Empty where variants were played once."""
    group = summary.group("unclear") or summary.group("all")
    if group is None or not group.pass_at:
        return ""
    tries = ", ".join(f"{percent(each.share)}% in {each.name}" for each in group.pass_at)
    return f"{summary.checkpoint} solves {percent(group.solved)}% of the {group.group} in one try, {tries} (pass@k)"


def calibration_sentence(summary: Summary) -> str:
    """Whether the checkpoint knows when its code is right; empty where nobody knows how sure it was."""
    found = summary.calibration
    if found is None:
        return ""
    surer = "" if found.ranking is None else f", and surer of what passes in {100 * found.ranking:.1f}% of the pairs"
    return f"{summary.checkpoint}: how sure it is of its code is off by {100 * found.error:.1f} points{surer}"


def _share(group: GroupSummary | None) -> str:
    if group is None or group.asked.value is None:
        return "none of 0"
    return f"{percent(group.asked)}% of {group.asked.n}"
