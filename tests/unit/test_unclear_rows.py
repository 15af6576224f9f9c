"""Statements that others made unclear, read by the names of their fields, trained and evaluated on as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.cli import main
from clarify_rl.config_files import load_config
from clarify_rl.errors import ConfigError
from clarify_rl.pipeline.standalone import named_suite
from clarify_rl.problems.unclear_rows import UnclearRows
from clarify_rl.types import Defect, Skipped

COMPLETE = "Write f(xs) that returns xs sorted. Sort in descending order."
SHOWN = "Write f(xs) that returns xs sorted."
ROW: dict[str, Any] = {  # Any: JSON
    "statement": COMPLETE,
    "unclear": SHOWN,
    "tests": ["assert f([1, 3, 2]) == [3, 2, 1]", "assert f([]) == []", "assert f([2, 5]) == [5, 2]"],
    "solution": "def f(xs):\n    return sorted(xs, reverse=True)\n",
}
TOLD = {"statement": "Sort in descending order.", "questions": ["In which order?"], "answers": ["Descending."]}


def rows(folder: Path, *changed: dict[str, Any], **options: Any) -> UnclearRows:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in changed))
    return UnclearRows(str(path), **options)


def test_rows_of_one_statement_are_one_problem_whose_clear_statement_comes_first(tmp_path: Path) -> None:
    made = list(rows(tmp_path, {"kind": "incomplete"}, {"unclear": "Write f(xs) that sorts xs somehow."}).variants())
    assert [variant.kind for variant in made] == ["clear", "incomplete", "ambiguous"]
    assert all(variant.problem is made[0].problem for variant in made)
    assert [variant.prompt for variant in made] == [COMPLETE, SHOWN, "Write f(xs) that sorts xs somehow."]
    assert len({variant.id for variant in made}) == 3


def test_what_is_hidden_is_what_the_row_says_or_else_what_the_statement_lost(tmp_path: Path) -> None:
    _, given, plain, lost = rows(
        tmp_path, {"facts": [TOLD], "kind": "incomplete"}, {"facts": ["Descending."]}, {}
    ).variants()
    (fact,) = given.facts
    assert (fact.statement, fact.questions, fact.answers) == (TOLD["statement"], ("In which order?",), ("Descending.",))
    assert fact.defect is Defect.INCOMPLETE
    assert [fact.statement for fact in plain.facts] == ["Descending."]
    assert [fact.statement for fact in lost.facts] == ["Sort in descending order."]


def test_other_words_for_kinds_are_translated_and_several_go_together(tmp_path: Path) -> None:
    kinds = {"vagueness": "ambiguous", "both": "incomplete+ambiguous"}
    made = list(rows(tmp_path, {"kind": "vagueness"}, {"kind": "both"}, kinds=kinds).variants())
    assert [variant.kind for variant in made[1:]] == ["ambiguous", "ambiguous+incomplete"]
    assert made[2].facts[0].defect is None  # the row does not say which of the two it is
    with pytest.raises(ConfigError, match="No kind named 'vague'"):
        UnclearRows("mine.jsonl", kinds={"x": "vague"})


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"kind": "vagueness"}, "Other words: kinds="),
        ({"unclear": ""}, "field 'unclear' should hold text"),
        ({"facts": "Descending."}, "facts should be a list"),
        ({"facts": [{"text": "Descending."}]}, "a fact should be a sentence"),
        ({"tests": None}, "field 'tests' is missing"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_rest_is_kept(tmp_path: Path, row: dict[str, Any], why: str) -> None:
    source = rows(tmp_path, {**row, "statement": "Another. Write f(xs)."}, {})
    skipped, problem = source.read()
    assert isinstance(skipped, Skipped)
    assert skipped.where.endswith("line 1")
    assert why in skipped.why
    assert not isinstance(problem, Skipped)
    assert [variant.kind for variant in source.variants()] == ["clear", "ambiguous"]


def test_such_a_file_is_a_suite_by_its_fields_and_what_is_left_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.jsonl"
    named = [{"task" if key == "statement" else key: value for key, value in ROW.items()}, {"task": "x"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in named))
    suite, out = f"unclear_rows,path={path},statement=task,name=vague", tmp_path / "run"
    models = ["--model", "oracle=scripted:oracle", "--model", "codes=scripted:never_asks"]
    assert main(["eval", *models, "--suite", suite, "--out", str(out)]) == 0
    tree = json.loads((out / "comparison.json").read_text())
    assert tree["suites"] == ["vague"]
    assert [summary["groups"][2]["solved"]["value"] for summary in tree["summaries"]] == [1, 0]
    said = " ".join(capsys.readouterr().out.split())
    assert "source vague: 1 rows are left out" in said
    assert main(["eval", str(out), "--suite", suite.replace("name=vague", "name=again"), "--limit", "1"]) == 0
    assert json.loads((out / "comparison.json").read_text())["suites"] == ["vague", "again"]


def test_a_source_of_complete_problems_is_a_suite_too() -> None:
    found = named_suite("mbpp,path=mbpp.jsonl,first=511", limit=20)
    assert (found.name, found.suite["source"], found.suite["count"]) == ("mbpp", "mbpp", 20)
    config = load_config("demo", found.overrides)
    assert config.sources["mbpp"].options == {"path": "mbpp.jsonl", "first": 511}
    assert config.suites["mbpp"].split == "whole"


def test_the_bank_has_no_whole() -> None:
    with pytest.raises(ConfigError, match="the bank draws without end"):
        load_config("demo", ["eval.suites.new_instances.split=whole"])
