"""`clarify-rl convert`: what a run evaluated, in the forms of other tools, read back by those tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import datasets
import pytest

from clarify_rl.cli import main
from clarify_rl.config_files import saved_config
from clarify_rl.pipeline.evaluate import read_results
from clarify_rl.store import Run
from clarify_rl.types import Results


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six problems by the embedded model, and three of them twice by its samples."""
    out = tmp_path_factory.mktemp("runs") / "evaluated"
    models = ["--model", "embedded", "--model", "asks=scripted:always_asks"]
    few = ["eval.suites.twice.count=3", "eval.suites.twice.samples=2", "eval.suites.twice.temperature=0.7"]
    assert main(["eval", *models, "--suite", "bank", "--limit", "6", "--out", str(out), *few]) == 0
    return out


def results_of(folder: Path) -> dict[tuple[str, str], Results]:
    with Run(folder) as run:
        return {(each.suite, each.checkpoint): each for each in read_results(saved_config(folder), run)}


def test_episodes_become_a_data_set_that_datasets_loads(evaluated: Path, tmp_path: Path) -> None:
    assert main(["convert", str(evaluated), "--to", "dataset", "--out", str(tmp_path / "episodes")]) == 0
    rows = datasets.load_dataset(str(tmp_path / "episodes"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == 2 * (6 + 6)
    row = next(row for row in rows if row["checkpoint"] == "asks")
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "user", "assistant"]


def test_a_lack_of_matplotlib_is_told_with_what_to_type(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["convert", str(evaluated), "--to", "figures", "--out", str(tmp_path / "out")]) == 2
    assert 'pip install "clarify-rl[figures]"' in capsys.readouterr().err


def test_nothing_is_written_over(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(evaluated), "--to", "dataset", "--out", str(evaluated)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_inspect_gets_every_dialogue_with_its_scores(evaluated: Path, tmp_path: Path) -> None:
    assert main(["convert", str(evaluated), "--to", "inspect", "--out", str(tmp_path)]) == 0
    logs = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    read = {(log["eval"]["task"], log["eval"]["model"]): log["samples"] for log in logs}
    results = results_of(evaluated)
    assert set(read) == {(suite, f"clarify-rl/{name}") for suite, name in results}
    for (suite, name), result in results.items():
        samples = read[suite, f"clarify-rl/{name}"]
        assert [sample["epoch"] for sample in samples] == ([1, 2] * 3 if suite == "twice" else [1] * 6)
        for sample, episode in zip(samples, result.episodes, strict=True):
            assert (sample["id"], sample["input"]) == (episode.variant.id, episode.variant.prompt)
            assert sample["scores"]["solved"]["value"] is episode.solved
            said = [message["content"] for message in sample["messages"] if message["role"] == "assistant"]
            assert said == [turn.reply.text for turn in episode.turns]


def test_inspect_itself_reads_the_logs(evaluated: Path, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log", reason="Inspect is not installed beside clarify-rl")
    assert main(["convert", str(evaluated), "--to", "inspect", "--out", str(tmp_path)]) == 0
    read = list(map(log.read_eval_log, log.list_eval_logs(str(tmp_path))))
    assert sum(len(each.samples) for each in read) == 2 * (6 + 6)
    assert all(sample.scores["solved"].value in (True, False) for each in read for sample in each.samples)


@pytest.mark.slow
@pytest.mark.parametrize("image", ["png", "pdf"])
def test_figures_are_drawn_for_every_suite(evaluated: Path, tmp_path: Path, image: str) -> None:
    pytest.importorskip("matplotlib")
    assert main(["convert", str(evaluated), "--to", "figures", "--out", str(tmp_path), "--format", image]) == 0
    names = ("solved", "asking", "questions", "calibration")
    drawn = {f"{suite}-{name}.{image}" for suite in ("bank", "twice") for name in names}
    assert {path.name for path in tmp_path.iterdir()} == drawn
    magic = {"png": b"\x89PNG", "pdf": b"%PDF"}[image]
    assert all(path.read_bytes().startswith(magic) for path in tmp_path.iterdir())
