from __future__ import annotations

import csv
import io
import json
from io import StringIO

import pytest
from rich.console import Console

from clarify_rl.errors import DataError
from clarify_rl.evaluation.compare import Comparison, compare, to_json
from clarify_rl.report.exports import to_csv, to_markdown
from clarify_rl.report.sentences import against_the_first, difference_sentence, headline
from clarify_rl.report.table import print_comparison, print_summary
from clarify_rl.types import (
    Case,
    Defect,
    Episode,
    Execution,
    Fact,
    Problem,
    Reply,
    ReplyKind,
    Results,
    Stop,
    Tests,
    Turn,
    Variant,
    Verdict,
)

CODE = (Turn(Reply("```\npass\n```", ReplyKind.CODE, code="pass")),)


def results(checkpoint: str, suite: str, solved: str) -> Results:
    """One episode for each character; even ones are clear, odd ones are incomplete."""
    episodes = []
    for i, outcome in enumerate(solved):
        facts = (Fact("f", Defect.INCOMPLETE, "It is."),) if i % 2 else ()
        problem = Problem(f"{suite}{i}", "", "f", Tests((Case((), 1),)), "", "test")
        variant = Variant(f"{suite}{i}", problem, "", "incomplete" if i % 2 else "clear", facts)
        verdict = {"1": Verdict.PASS, "0": Verdict.WRONG, "?": Verdict.INFRASTRUCTURE}[outcome]
        execution = Execution(verdict, int(outcome == "1"), 1)
        episodes.append(Episode(f"{suite}{i}#0", variant, 0, CODE, Stop.CODE, execution))
    return Results(checkpoint, suite, tuple(episodes))


def three_checkpoints() -> Comparison:
    near = [results(name, "near", solved) for name, solved in (("base", "000000"), ("sft", "100100"), ("rl", "11?111"))]
    far = [results(name, "far", solved) for name, solved in (("base", "0000"), ("rl", "0101"))]
    return compare([*near, *far], resamples=200)


def summary(comparison: Comparison, width: int) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    print_summary(comparison, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def printed(comparison: Comparison, width: int = 110) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    print_comparison(comparison, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_each_later_checkpoint_is_compared_with_each_earlier_one() -> None:
    comparison = three_checkpoints()
    compared = dict.fromkeys((d.suite, d.before, d.after) for d in comparison.differences)
    near = [("near", "base", "sft"), ("near", "base", "rl"), ("near", "sft", "rl")]
    assert list(compared) == [*near, ("far", "base", "rl")]
    assert (comparison.checkpoints, comparison.suites) == (("base", "sft", "rl"), ("near", "far"))


def test_differences_are_those_computed_by_hand() -> None:
    comparison = three_checkpoints()
    overall = comparison.difference("sft", "rl", "near", "solved")
    unclear = comparison.difference("sft", "rl", "near", "solved", "unclear")
    assert overall is not None and unclear is not None
    assert overall.points == pytest.approx(60.0)
    assert (overall.pairs, overall.unmeasured) == (5, 1)
    assert unclear.points == pytest.approx(200 / 3)


def test_two_identical_runs_give_identical_bytes() -> None:
    assert to_json(three_checkpoints()) == to_json(three_checkpoints())


def test_the_json_names_its_schema_and_rounds_to_six_digits() -> None:
    tree = json.loads(to_json(three_checkpoints()))
    assert tree["schema_version"] == 2
    sft = next(summary for summary in tree["summaries"] if summary["checkpoint"] == "sft")
    assert sft["groups"][0]["solved"] == {"value": 0.333333, "n": 6, "low": 0.0, "high": 0.666667}


def test_the_same_checkpoint_twice_on_a_suite_is_refused() -> None:
    with pytest.raises(DataError, match="two results on suite 'near'"):
        compare([results("rl", "near", "01"), results("rl", "near", "11")])


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(DataError, match="no results were given"):
        compare([])


def test_a_difference_reads_as_a_sentence() -> None:
    comparison = compare([results("sft", "s", "0" * 10), results("rl", "s", "1" * 6 + "0" * 4)], resamples=500)
    sentence = difference_sentence(comparison.differences[0])
    assert sentence.startswith("rl solves 60.0 points more than sft (95% interval ")
    assert sentence.endswith("; p 0.0312; 6 won, 0 lost, of 10)")


def test_the_headline_admits_that_a_difference_may_be_chance() -> None:
    comparison = compare([results("sft", "s", "01000110"), results("rl", "s", "10010110")], resamples=500)
    assert headline(comparison) == "rl solves 12.5 points more than sft on s, which may be chance"


def test_the_headline_of_a_single_checkpoint_says_what_it_solves() -> None:
    assert headline(compare([results("rl", "s", "011?")])) == "rl solves 66.7% of 3 variants on s"


def test_the_headline_is_the_last_checkpoint_against_the_one_before_and_the_first_comes_second() -> None:
    comparison = three_checkpoints()
    assert headline(comparison).startswith("rl solves 60.0 points more than sft on near")
    assert against_the_first(comparison).startswith("rl solves")
    assert "than base" in against_the_first(comparison)
    assert against_the_first(compare([results("sft", "s", "01"), results("rl", "s", "11")])) == ""


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("runs", [1, 2])
def test_the_summary_has_at_most_twenty_lines_and_the_difference_with_its_interval(width: int, runs: int) -> None:
    names = [f"run{n}/{checkpoint}" for n in range(runs) for checkpoint in ("base", "sft", "rl")]
    solved = ["0000000000", "1000000000", "1110000000"] * runs
    suites = [f"suite_{n}" for n in range(6)]
    comparison = compare(
        [results(name, suite, each) for suite in suites for name, each in zip(names, solved, strict=True)], resamples=50
    )
    text = summary(comparison, width)
    assert len(text.strip().splitlines()) <= 20 or width < 80
    assert "+20.0 (" in text
    for suite in suites:
        assert suite in text.replace("\n", "")


def test_the_summary_of_one_checkpoint_says_what_it_does() -> None:
    assert "rl solves 66.7% of 3 variants on s" in summary(compare([results("rl", "s", "011?")]), 80)


def test_the_table_shows_every_checkpoint_of_a_suite() -> None:
    text = printed(three_checkpoints())
    rows = [line.split() for line in text.splitlines()]
    assert ["rl", "100.0", "100.0", "100.0", "100.0", "0.0", "0.0", "0.00", "0.0", "0.0", "0.0", "1"] in rows
    assert "near  6 variants (3 clear, 3 unclear)" in text
    assert "rl solves 60.0 points more than sft" in text


def test_the_table_shows_a_dash_where_nothing_could_be_measured() -> None:
    rows = [line.split() for line in printed(compare([results("rl", "s", "???")])).splitlines()]
    assert ["rl", "-", "-", "-", "-", "0.0", "0.0", "0.00", "0.0", "0.0", "0.0", "3"] in rows


def test_names_that_look_like_markup_are_printed_as_they_are() -> None:
    assert "[red]" in printed(compare([results("[red]", "[/x]", "01")]))


def test_six_checkpoints_keep_every_number_and_every_kind_in_a_narrow_terminal() -> None:
    names = [f"{run}/{checkpoint}" for run in ("demo", "longer") for checkpoint in ("base", "sft", "rl")]
    solved = ("0000000000", "1000000000", "1100000000", "1110000000", "1111000000", "1111100000")
    comparison = compare([results(*each) for each in zip(names, ["s"] * 6, solved, strict=True)], resamples=50)
    text = printed(comparison, width=80)
    kinds = text[text.index("variants") + len("variants") :]
    assert [line.split()[0] for line in kinds.splitlines() if line.startswith("incomplete")] == ["incomplete"] * 2
    shown = [cell for line in kinds.splitlines() if line.startswith("clear") for cell in line.split()[2::2]]
    assert shown == ["0.0", "20.0", "20.0", "40.0", "40.0", "60.0"]
    assert text.count("95% interval") == 15


def test_three_checkpoints_stand_beside_each_other() -> None:
    assert printed(three_checkpoints()).count("\nincomplete") == 2  # one table a suite


def test_the_comparison_as_markdown_has_a_row_for_each_checkpoint_and_the_differences_in_words() -> None:
    text = to_markdown(three_checkpoints())
    lines = text.splitlines()
    assert lines[0] == f"# {headline(three_checkpoints())}"
    rows = [line for line in lines if line.startswith("| near |")]
    assert len(rows) == len({line.split("|")[2] for line in rows}) == 3
    assert all(line.count("|") == lines[4].count("|") for line in rows)
    assert any(line.startswith("- near: rl solves 60.0 points more than sft") for line in lines)


def test_a_name_with_a_bar_does_not_break_the_table() -> None:
    text = to_markdown(compare([results("a|b", "s", "11")]))
    assert "| a\\|b |" in text


def test_the_comparison_as_csv_has_every_number_with_its_count() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(three_checkpoints()))))
    (row,) = (
        row
        for row in rows
        if (row["suite"], row["checkpoint"], row["group"], row["metric"]) == ("near", "rl", "clear", "solved")
    )
    assert (float(row["value"]), row["n"]) == (1.0, "2")
