"""`clarify-rl grade`: a language model behind a real server reads first replies too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from clarify_rl.cli import main
from clarify_rl.evaluation.grades import Grade, summarise_grades
from clarify_rl.types import Results
from tests.dialogues import ASK, CLEAR, DESC, UNCLEAR, play
from tests.serving import Reply, serving

FAST = ["eval.server.parallel=4", "eval.server.retries=1", "eval.server.timeout_s=5"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight problems, of whom one policy asks about all, and one about none."""
    out = tmp_path_factory.mktemp("runs") / "evaluated"
    models = ["--model", "asks=scripted:always_asks", "--model", "codes=scripted:never_asks"]
    assert main(["eval", *models, "--suite", "bank", "--limit", "8", "--out", str(out)]) == 0
    return out


def says(said: str, _: int) -> Reply:
    """A judge that sees a question by its mark, and finds all of them good."""
    reply = said.partition("The reply:")[2].partition(">>>")[0]
    return json.dumps({"asks": "?" in reply, "grade": 3 if "?" in reply else 1})


def graded(run: Path) -> list[dict[str, object]]:
    return list(json.loads((run / "grades.json").read_text())["graded"])


def test_judge_and_rules_are_compared_and_the_comparison_stays_as_it_was(
    evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(evaluated, run)
    before = json.loads((run / "comparison.json").read_text())
    with serving(says) as model:
        assert main(["grade", str(run), "--model", model, *FAST]) == 0
    asks, codes = graded(run)
    assert (asks["asks_unclear"], asks["asks_clear"], asks["good"]) == (1, 1, 1)
    assert (codes["asks_unclear"], codes["asks_clear"], codes["good"]) == (0, 0, 0)
    assert asks["asks"] == {"n": 8, "first": 8, "second": 8, "both": 8, "kappa": None}
    shown = " ".join(capsys.readouterr().out.split())
    assert "asks on bank: of 8 replies 8 ask by our rules, 8 by the judge, 8 by both" in shown
    assert json.loads((run / "comparison.json").read_text()) == before
    rows = [json.loads(line) for line in (run / "grades" / "asks-bank.jsonl").read_text().splitlines()]
    assert [row["grade"] for row in rows] == [3] * 8


def test_what_the_server_refuses_stays_ungraded_and_only_that_is_asked_about_again(
    evaluated: Path, tmp_path: Path
) -> None:
    run, asked = tmp_path / "run", list[object]()
    shutil.copytree(evaluated, run)

    def fails(said: str, number: int) -> Reply:
        return (says(said, 0), "no JSON", '{"grade": 9}', '{"asks": "yes", "grade": 2}')[number % 4]

    with serving(fails) as model:
        assert main(["grade", str(run), "--model", model, "--checkpoint", "asks", *FAST]) == 0
        (first,) = graded(run)
        assert (first["replies"], first["ungraded"]) == (2, 6)
        address = model
    memory = run / "grades" / "replies.jsonl"
    assert len(memory.read_text().splitlines()) == 2
    with serving(says, asked.append, port=int(address.rpartition(":")[2].partition("/")[0])) as model:
        assert main(["grade", str(run), "--model", model, "--checkpoint", "asks", *FAST]) == 0
    (second,) = graded(run)
    assert (second["replies"], second["ungraded"]) == (8, 0)
    assert len(asked) == 6


def test_an_estimate_asks_nobody(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _, __: 500) as model:
        assert main(["grade", str(evaluated), "--model", model, "--estimate"]) == 0
    assert "16 replies, about" in capsys.readouterr().out
    assert not (evaluated / "grades").exists()


def test_a_checkpoint_that_the_run_has_not_is_named(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--model", "openai:http://127.0.0.1:1/v1#m", "--checkpoint", "ask"]
    assert main(["grade", str(evaluated), *wrong]) == 2
    assert "No checkpoint named 'ask'. Did you mean 'asks'" in capsys.readouterr().err


def test_only_the_server_can_be_changed(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(evaluated), "--model", "openai:http://127.0.0.1:1/v1#m", "seed=1"]) == 2
    assert "Only eval.server can be changed here" in capsys.readouterr().err


def test_agreement_is_counted_where_there_was_something_to_agree_on() -> None:
    episodes = play((UNCLEAR, [ASK, DESC]), (UNCLEAR, [DESC]), (CLEAR, [ASK, DESC]), (CLEAR, [DESC]))
    grades = dict(zip((e.id for e in episodes), [Grade(True, 3), Grade(True, 2), Grade(False, 1)], strict=False))
    found = summarise_grades(Results("rl", "bank", tuple(episodes)), grades)
    assert (found.replies, found.ungraded) == (3, 1)
    assert (found.asks_unclear, found.asks_clear, found.good) == (1, 0, 0.5)
    assert (found.asks.n, found.asks.first, found.asks.second, found.asks.both) == (3, 2, 2, 1)
    assert (found.hits.n, found.hits.first, found.hits.second) == (1, 1, 1)
