from __future__ import annotations

import gzip
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.evaluation.compare import compare
from clarify_rl.report.html import write_report
from clarify_rl.report.payload import alarms, curve_columns, runs
from clarify_rl.types import (
    Answer,
    Case,
    Defect,
    Episode,
    Execution,
    Fact,
    Heard,
    Outcome,
    Problem,
    Raises,
    Reply,
    ReplyKind,
    Results,
    Score,
    Stop,
    Tests,
    Turn,
    Variant,
    Verdict,
)

ATTACK = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> {{style}} \udcff"
FACT = Fact("order", Defect.AMBIGUOUS, "Descending.", "Sensibly.")
CASES = (Case(("</script>", [1]), [2]), Case(((),), Raises("ValueError")))
PROBLEM = Problem("p", "Sort it.", "sort", Tests(CASES), "def sort(x): ...", "test")


def episode(name: str, verdict: Verdict, text: str = "Which?") -> Episode:
    ask = Turn(
        Reply(text, ReplyKind.QUESTION, ("Which?",)), Answer("Descending.", (Heard(Outcome.REVEALED, ("order",)),))
    )
    code = Turn(Reply("```\npass\n```", ReplyKind.CODE, code="pass"))
    execution = Execution(verdict, 1, 2, ("pass", "wrong"))
    variant = Variant(name, PROBLEM, "Sort it sensibly.", "ambiguous", (FACT,))
    scores = (Score("pass_rate", None if not execution.measured else 0.5, 1.0, "why"),)
    mask = (1, 1, 1, 0, 0, 1)
    return Episode(f"{name}#0", variant, 7, (ask, code), Stop.CODE, execution, "", (1,), mask, mask, None, scores)


def page(tmp_path: Path, results: list[Results], run_info: dict[str, str] | None = None) -> str:
    path = tmp_path / "new" / "report.html"
    rows: list[dict[str, float | int | str]] = [{"stage": "rl", "step": 1, "train/loss": 0.5}]
    write_report(path, compare(results, resamples=50), results, rows, run_info or {"seed": "0"})
    return path.read_text(encoding="utf-8")


def data_of(text: str) -> Any:  # Any: the test walks freely through the page's JSON
    packed = text.split('id="data">')[1].split("<")[0]
    return json.loads(gzip.decompress(b64decode(packed)))


def one(checkpoint: str = "rl", **changes: Any) -> Results:  # Any: handed to episode() as it is
    return Results(checkpoint, "held_out", (episode("v", **{"verdict": Verdict.WRONG, **changes}),))


def test_a_transcript_cannot_close_the_data_or_reach_the_page_as_html(tmp_path: Path) -> None:
    text = page(tmp_path, [one(text=ATTACK)], {"command": ATTACK})
    assert "alert(1)" not in text
    assert text.count("</script>") == page(tmp_path, [one()]).count("</script>") == 2
    assert data_of(text)["results"][0]["episodes"][0]["turns"][0]["text"] == ATTACK


def test_a_checkpoint_name_is_escaped_in_the_headline(tmp_path: Path) -> None:
    text = page(tmp_path, [one("<b>rl</b> {{data}}")])
    assert "<b>rl" not in text
    assert "&lt;b&gt;rl&lt;/b&gt; {{data}} solves 0.0%" in text


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    text = page(tmp_path, [one()])
    assert "default-src 'none'" in text
    assert [word for word in ("https://", "src=", "@import", "url(") if word in text] == []
    assert text.count("http://") == text.count("http://www.w3.org/2000/svg") == 1


def test_unmeasured_is_null_and_not_zero(tmp_path: Path) -> None:
    data = data_of(page(tmp_path, [one(verdict=Verdict.WALL_TIMEOUT)]))
    shown_episode = data["results"][0]["episodes"][0]
    assert (shown_episode["solved"], shown_episode["reward"], shown_episode["scores"][0]["value"]) == (None, None, None)
    assert data["comparison"]["summaries"][0]["groups"][0]["solved"] == {
        "value": None,
        "n": 0,
        "low": None,
        "high": None,
    }


def test_an_episode_carries_its_whole_transcript(tmp_path: Path) -> None:
    data = data_of(page(tmp_path, [one()]))
    [found] = data["results"][0]["episodes"]
    assert (found["seed"], found["stop"], found["revealed"], found["mask"]) == (
        7,
        "code",
        ["order"],
        [[1, 3], [0, 2], [1, 1]],
    )
    assert found["turns"][0]["answer"] == {
        "text": "Descending.",
        "heard": [{"outcome": "revealed", "facts": ["order"]}],
        "volunteered": [],
    }
    assert found["execution"]["per_test"] == ["pass", "wrong"]
    assert data["variants"][found["variant"]]["facts"][0]["replaced_by"] == "Sensibly."


def test_tests_are_shown_as_python_values(tmp_path: Path) -> None:
    [variant] = data_of(page(tmp_path, [one()]))["variants"]
    assert variant["tests"][0] == {"call": "sort('</script>', [1])", "expected": "[2]"}
    assert variant["tests"][1] == {"call": "sort(())", "expected": "raises ValueError"}


def test_a_variant_shared_by_checkpoints_is_stored_once(tmp_path: Path) -> None:
    data = data_of(page(tmp_path, [one("base"), one("rl")]))
    assert len(data["variants"]) == 1
    assert len(data["sentences"]) == len(data["comparison"]["differences"]) == 8


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    assert page(tmp_path, [one()]) == page(tmp_path, [one()])


@pytest.mark.parametrize(("mask", "expected"), [((), []), ((1,), [[1, 1]]), ((1, 1, 0, 1), [[1, 2], [0, 1], [1, 1]])])
def test_a_mask_is_stored_as_runs(mask: tuple[int, ...], expected: list[list[int]]) -> None:
    assert runs(mask) == expected


def test_a_step_logged_again_replaces_the_first_and_nan_is_a_gap() -> None:
    rows: list[dict[str, float | int | str]] = [
        {"stage": "rl", "step": 2, "train/loss": 9.0, "note": "text is no curve"},
        {"stage": "rl", "step": 1, "train/loss": float("nan")},
        {"stage": "rl", "step": 2, "train/loss": 3.0},
        {"stage": "sft", "step": 1, "train/loss": 1.0},
    ]
    assert curve_columns(rows) == [
        {"stage": "rl", "name": "train/loss", "points": [[1.0, None], [2.0, 3.0]]},
        {"stage": "sft", "name": "train/loss", "points": [[1.0, 1.0]]},
    ]


WARNED: list[dict[str, float | int | str]] = [
    {"stage": "rl", "step": 7, "train/kl": 3.0},
    {"stage": "rl", "step": 7, "alarm/kl": 1, "warning": ATTACK},
]


def test_a_warning_is_shown_in_words_and_is_no_curve() -> None:
    assert alarms(WARNED) == [{"stage": "rl", "step": 7, "name": "kl", "text": ATTACK}]
    assert curve_columns(WARNED) == [{"stage": "rl", "name": "train/kl", "points": [[7.0, 3.0]]}]


def test_a_warning_cannot_reach_the_page_as_html(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, compare([one()], resamples=50), [one()], WARNED, {})
    text = path.read_text(encoding="utf-8")
    assert "alert(1)" not in text
    assert data_of(text)["alarms"][0]["text"] == ATTACK
