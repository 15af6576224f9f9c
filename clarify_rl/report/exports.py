"""A comparison for other places: Markdown for a pull request or a paper's notes, CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from clarify_rl.evaluation.compare import Comparison
from clarify_rl.evaluation.metrics import GroupSummary, Mean, Summary
from clarify_rl.report.sentences import difference_sentence, headline, percent, tries_sentence

_COLUMNS = ("suite", "checkpoint", "n", "solved", "clear", "unclear", "tests passed", "ask-recall", "false-ask",
            "questions each", "facts found", "Ask-F1", "failed")  # fmt: skip


def to_markdown(comparison: Comparison) -> str:
    """The headline, a table with a row for each checkpoint on each suite, and the differences in words."""
    rows = [_row(summary) for summary in comparison.summaries]
    solved = [d for d in comparison.differences if (d.metric, d.group) == ("solved", "all") and d.pairs]
    sentences = [f"- {each.suite}: {difference_sentence(each)}" for each in (*solved, *comparison.asking) if each.pairs]
    sentences += [f"- {summary.suite}: {said}" for summary in comparison.summaries if (said := tries_sentence(summary))]
    table = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *map(_line, rows)]
    return "\n".join([f"# {headline(comparison)}", "", "In percent.", "", *table, "", *sentences, ""])


def to_csv(comparison: Comparison) -> str:
    """A row for each number of each group: suite, checkpoint, group, metric, value (a share, or a mean), n."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("suite", "checkpoint", "group", "metric", "value", "n"))
    for summary in comparison.summaries:
        for group in summary.groups:
            for name, mean in _means(group).items():
                value = "" if mean.value is None else f"{mean.value:.6f}"
                writer.writerow((summary.suite, summary.checkpoint, group.group, name, value, mean.n))
    return text.getvalue()


def _means(group: GroupSummary) -> dict[str, Mean]:
    means = {name: value for name, value in vars(group).items() if isinstance(value, Mean)}
    return {
        **means,
        **{f"revealed_{each.name}": each.share for each in group.revealed_by},
        **{f"pass@{each.name}": each.share for each in group.pass_at},
    }


def _row(summary: Summary) -> tuple[str, ...]:
    everything, clear, unclear = (summary.group(name) for name in ("all", "clear", "unclear"))
    assert everything and clear and unclear  # every summary has them
    f1 = "-" if unclear.ask_f1 is None else f"{100 * unclear.ask_f1:.1f}"
    each = "-" if everything.questions.value is None else f"{everything.questions.value:.2f}"
    return (
        summary.suite,
        summary.checkpoint,
        str(everything.episodes),
        *map(percent, (everything.solved, clear.solved, unclear.solved, everything.pass_rate)),
        percent(unclear.asked),
        percent(clear.asked),
        each,
        percent(unclear.revealed),
        f1,
        str(everything.failed),
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
