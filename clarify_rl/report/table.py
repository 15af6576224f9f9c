"""A comparison as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from clarify_rl.evaluation.compare import Comparison
from clarify_rl.evaluation.metrics import GROUPS, GroupSummary, Mean, Summary
from clarify_rl.report.sentences import calibration_sentence, difference_sentence, headline, percent, tries_sentence

_COLUMNS = (
    "solved\nall",
    "solved\nclear",
    "solved\nunclear",
    "tests\npassed",
    "ask-\nrecall",
    "false\nask",
    "ques-\ntions",
    "facts\nfound",
    "ask-\nF1",
    "mal-\nform.",
    "fail-\ned",
)

# The rest stands in comparison.json and in the HTML page. Six checkpoints make fifteen pairs, so of more than three one
# sentence a pair is told.
_IN_WORDS = {("solved", "all"), ("solved", "clear"), ("solved", "unclear"), ("asked", "clear")}
_IN_A_WORD = {("solved", "all")}


def print_comparison(comparison: Comparison, console: Console) -> None:
    """For each suite: a row for each checkpoint, the paired differences in words, and solved by kind of variant."""
    for suite in comparison.suites:
        summaries = [summary for summary in comparison.summaries if summary.suite == suite]
        console.print(f"\n[bold]{escape(suite)}[/bold]  {_size(summaries[0])}, shares in percent")
        console.print(_checkpoints(summaries))
        wording = _IN_WORDS if len(summaries) <= 3 else _IN_A_WORD
        for difference in comparison.differences:
            if difference.suite == suite and (difference.metric, difference.group) in wording and difference.pairs:
                console.print(Padding(escape(difference_sentence(difference)), (0, 0, 0, 2)), highlight=False)
        worth = [difference_sentence(each) for each in comparison.asking if each.suite == suite and each.pairs]
        beside = (_found_by_defect, tries_sentence, calibration_sentence)
        for sentence in (*worth, *(say(summary) for say in beside for summary in summaries)):
            if sentence:
                console.print(Padding(escape(sentence), (0, 0, 0, 2)), highlight=False)
        for part in _beside_each_other(summaries, console):
            console.print()
            console.print(_kinds(part))
        console.print()


def _found_by_defect(summary: Summary) -> str:
    """For example: rl asks for 81.2% of 117 ambiguous facts, 0.0% of 39 inconsistent ones."""
    shares = _group(summary, "unclear").revealed_by
    said = ", ".join(f"{percent(each.share)}% of {each.share.n} that are {each.name}" for each in shares)
    return f"{summary.checkpoint} asks for the hidden facts: {said}" if said else ""


_MOST_SUITES = 8


def print_summary(comparison: Comparison, console: Console) -> None:
    """At most twenty lines: how much more the last checkpoint solves than the one before, and how both ask."""
    console.print(f"\n[bold]{escape(headline(comparison))}[/bold]", soft_wrap=True)
    table = _summary(comparison)
    if _fits(table, console):
        console.print(table)
    else:
        for sentence in _in_words(comparison):
            console.print(escape(sentence), highlight=False, soft_wrap=True)
    for difference in comparison.asking:
        if difference.suite == comparison.suites[0] and difference.points is not None:
            console.print(escape(difference_sentence(difference)), highlight=False, soft_wrap=True)
    if (left_out := len(comparison.suites) - _MOST_SUITES) > 0:
        console.print(f"[dim]{left_out} more suites are not shown[/dim]")


def _summary(comparison: Comparison) -> Table:
    """A row for each suite, in percent; a difference with its interval; asking of the last two."""
    pair = comparison.last_two
    asked = pair or comparison.checkpoints
    names = dict.fromkeys((comparison.checkpoints[0], *asked))
    changes = [f"{pair[1]} - {pair[0]}\npoints (95%)"] if pair else []
    asking = [f"asks if\n{group}\n{', '.join(asked)}" for group in ("unclear", "clear")]
    solved = (f"{'solved' if i == 0 else ''}\n{name}" for i, name in enumerate(names))
    table = _table("suite", "n", *solved, *changes, *asking)
    for suite in comparison.suites[:_MOST_SUITES]:
        played = [summary for summary in comparison.summaries if summary.suite == suite]
        size = max(_group(summary, "all").episodes for summary in played)
        shares = [_solved_and_asked(_found(comparison, name, suite, "all"))[0] for name in names]
        change = [_change(comparison, suite, pair)] if pair else []
        table.add_row(escape(suite), str(size), *shares, *change, *_asking(comparison, suite, asked))
    return table


def _asking(comparison: Comparison, suite: str, checkpoints: Sequence[str]) -> list[str]:
    """How often these ask, beside each other and in whole percent: where something is missing, where nothing is."""
    groups = {kind: [_found(comparison, name, suite, kind) for name in checkpoints] for kind in ("unclear", "clear")}
    return [", ".join(_whole_percent(item.asked if item else None) for item in items) for items in groups.values()]


def _whole_percent(share: Mean | None) -> str:
    return "-" if share is None or share.value is None else f"{100 * share.value:.0f}"


def _found(comparison: Comparison, checkpoint: str, suite: str, group: str) -> GroupSummary | None:
    summary = comparison.summary(checkpoint, suite)
    return summary.group(group) if summary else None


def _change(comparison: Comparison, suite: str, pair: tuple[str, str]) -> str:
    difference = comparison.difference(*pair, suite, "solved")
    if difference is None or difference.points is None:
        return "-"
    between = "" if difference.low is None else f" ({difference.low:.1f} to {difference.high:.1f})"
    return f"{difference.points:+.1f}{between}"


def _in_words(comparison: Comparison) -> list[str]:
    """The summary where the terminal has no room for its table."""
    pair = comparison.last_two
    if pair is None:
        return []
    notes = []
    for suite in comparison.suites[:_MOST_SUITES]:
        unclear, clear = _asking(comparison, suite, pair)
        difference = f"{pair[1]} - {pair[0]} {_change(comparison, suite, pair)}"
        notes.append(f"{suite}: {difference}; asks if unclear {unclear}; asks if clear {clear}")
    return notes


def _size(summary: Summary) -> str:
    sizes = {group.group: group.variants for group in summary.groups}
    each = summary.groups[0].episodes // max(1, sizes["all"])
    times = f", {each} episodes each" if each > 1 else ""
    return f"{sizes['all']} variants ({sizes['clear']} clear, {sizes['unclear']} unclear){times}"


def _checkpoints(summaries: list[Summary]) -> Table:
    table = _table("checkpoint", *_COLUMNS)
    for summary in summaries:
        table.add_row(escape(summary.checkpoint), *_cells(*(_group(summary, name) for name in GROUPS)))
    return table


def _cells(everything: GroupSummary, clear: GroupSummary, unclear: GroupSummary) -> tuple[str, ...]:
    return (
        percent(everything.solved),
        percent(clear.solved),
        percent(unclear.solved),
        percent(everything.pass_rate),
        percent(unclear.asked),
        percent(clear.asked),
        _plain(everything.questions),
        percent(unclear.revealed),
        "-" if unclear.ask_f1 is None else f"{100 * unclear.ask_f1:.1f}",
        percent(everything.malformed),
        str(everything.failed),
    )


def _beside_each_other(summaries: list[Summary], console: Console) -> list[list[Summary]]:
    """The checkpoints in parts for whose kinds the terminal has room: a table that is too wide loses columns."""
    for size in range(len(summaries), 1, -1):
        parts = [summaries[start : start + size] for start in range(0, len(summaries), size)]
        if all(_fits(_kinds(part), console) for part in parts):
            return parts
    return [[summary] for summary in summaries]


def _fits(table: Table, console: Console) -> bool:
    """Whether the terminal has room for a table without cutting a number."""
    unbounded = console.options.update(max_width=10_000)  # otherwise no table measures more than the terminal has
    return console.measure(table, options=unbounded).minimum <= console.width


def _kinds(summaries: list[Summary]) -> Table:
    """Solved and asked for each kind of variant and each number of missing facts."""
    headers = [f"{summary.checkpoint}\n{what}" for summary in summaries for what in ("solved", "asked")]
    table = _table("variants", "n", *headers)
    names = dict.fromkeys(group.group for summary in summaries for group in summary.groups)
    for name in (name for name in names if name not in ("all", "unclear")):
        groups = [summary.group(name) for summary in summaries]
        cells = [cell for group in groups for cell in _solved_and_asked(group)]
        table.add_row(escape(name), str(max(group.episodes for group in groups if group)), *cells)
    return table


def _solved_and_asked(group: GroupSummary | None) -> tuple[str, str]:
    return (percent(group.solved), percent(group.asked)) if group else ("-", "-")


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column(first, overflow="fold", min_width=8)
    for header in map(escape, others):
        # In a narrow terminal the names fold, and no number is cut.
        table.add_column(header, justify="right", no_wrap=True, min_width=max(map(len, header.split("\n"))))
    return table


def _group(summary: Summary, name: str) -> GroupSummary:
    group = summary.group(name)
    if group is None:
        raise KeyError(name)
    return group


def _plain(mean: Mean) -> str:
    return "-" if mean.value is None else f"{mean.value:.2f}"
