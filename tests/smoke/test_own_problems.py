"""Twenty problems of one's own, in a form of one's own, become a comparison of checkpoints by three commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarify_rl.cli import main
from tests import own_problems

SOURCE = f"rows,path=mine.jsonl,{own_problems.FIELDS}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        own_problems.write(tmp_path / "mine.jsonl")
        yield tmp_path
    finally:
        os.chdir(before)


def test_three_commands_lead_from_a_file_of_problems_to_a_comparison(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "source", SOURCE]) == 0
    assert "references that pass their own tests: 20 of 20" in capsys.readouterr().out
    assert main(["data", "make", SOURCE, "--out", "unclear.jsonl"]) == 0
    assert main(["run", "own"]) == 0
    run = folder / "runs" / "own"
    comparison = json.loads((run / "comparison.json").read_text())
    assert comparison["checkpoints"] == ["base", "sft", "rl"]
    assert (run / "models" / "rl" / "config.json").is_file()
    assert {line["problem"]["source"] for line in map(json.loads, (run / "data" / "rl.jsonl").open())} == {"rows"}
    assert "Every table:" in capsys.readouterr().out


def test_problems_of_ones_own_may_be_mixed_with_the_bank(folder: Path) -> None:
    assert main(["data", "make", SOURCE, "--out", "unclear.jsonl"]) == 0
    mixed = ["data.rl.sources={mine: 1, bank: 1}", "data.rl.count=12", "name=mixed"]
    assert main(["data", "own", *mixed]) == 0
    lines = [json.loads(line) for line in (folder / "runs" / "mixed" / "data" / "rl.jsonl").open()]
    assert sorted(line["problem"]["source"] for line in lines) == ["bank"] * 6 + ["rows"] * 6


def test_a_source_that_is_named_nowhere_is_found_before_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "own", "data.rl.sources={mne: 1}", "--dry-run"]) == 2
    assert "data.rl.sources: No source of problems named 'mne'. Did you mean 'mine'?" in capsys.readouterr().err
    assert main(["check", "source", "rows,path=none.jsonl"]) == 2
    assert "No file none.jsonl" in capsys.readouterr().err
