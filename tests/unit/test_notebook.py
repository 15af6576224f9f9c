"""clarify-rl from Python: a run as data frames, evaluation and comparison."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import clarify_rl as cr
from clarify_rl.errors import ConfigError, RunFolderError
from clarify_rl.evaluation.compare import to_json
from clarify_rl.notebook import RunView


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    out = str(tmp_path_factory.mktemp("runs") / "evaluated")
    view = cr.evaluate({"first": "embedded", "second": "embedded"}, "bank", limit=6, out=out)
    assert isinstance(view, RunView)
    return view


def test_episodes_are_a_frame_with_a_row_for_each(run: RunView) -> None:
    frame = run.episodes()
    assert len(frame) == 12
    assert set(frame.checkpoint) == {"first", "second"}
    by_hand = [episode.solved for result in run.results() for episode in result.episodes]
    assert frame.solved.tolist() == by_hand
    assert frame.dialogue[0].startswith("user: ")
    assert frame[frame.kind == "clear"].missing.eq(0).all()
    assert run.episodes("bank").equals(frame)


def test_the_comparison_is_that_of_the_command(run: RunView) -> None:
    assert to_json(run.comparison()) == (run.folder / "comparison.json").read_text()
    differences = run.differences()
    solved = differences[(differences.metric == "solved") & (differences.group == "all")].iloc[0]
    assert (solved.points, solved.pairs) == (0.0, 6)
    assert cr.compare(run.results("bank")).suites == ("bank",)


def test_the_same_evaluation_again_is_read_and_not_played(run: RunView) -> None:
    before = (run.folder / "episodes" / "eval-first-bank.jsonl").stat().st_mtime_ns
    cr.evaluate({"first": "embedded", "second": "embedded"}, "bank", limit=6, out=str(run.folder))
    assert (run.folder / "episodes" / "eval-first-bank.jsonl").stat().st_mtime_ns == before


def test_a_run_without_training_has_no_metrics_and_no_suite_by_another_name(run: RunView) -> None:
    assert isinstance(run.metrics(), pd.DataFrame) and run.metrics().empty
    with pytest.raises(RunFolderError, match="no finished evaluation of elsewhere"):
        run.results("elsewhere")


def test_what_cannot_work_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        cr.open_run(tmp_path)
    with pytest.raises(ConfigError, match="no file"):
        cr.evaluate("embedded", "nowhere.jsonl", out=str(tmp_path / "run"))
