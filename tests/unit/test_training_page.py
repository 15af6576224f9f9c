"""training.html: RL's own dialogues by step, the members of a group beside each other."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

from clarify_rl.config import Config
from clarify_rl.pipeline import training_page
from clarify_rl.pipeline.training_page import write_training_page
from clarify_rl.rl_sections import RLSection
from clarify_rl.store import Run
from tests.dialogues import ASC, ASK, CLEAR, DESC, UNCLEAR, play

CONFIG = Config(sft=None, rl=RLSection(trainer={"num_generations": 2}))


def run_with(folder: Path, steps: int) -> Run:
    """Two groups of two episodes in each step."""
    run = Run.create(folder, "seed: 0\n", ["pytest"])
    run.write_variants("rl", [UNCLEAR, CLEAR])
    group = play((UNCLEAR, [ASK, DESC]), (UNCLEAR, [ASC]), (CLEAR, [DESC]), (CLEAR, [DESC]))
    for step in range(steps):
        run.add_episodes("rl", [replace(e, id=f"rl/{step}/0/{i}") for i, e in enumerate(group)], step=step)
    run.mark_done("rl", 1.0)
    return run


def data_of(page: Path) -> Any:  # Any: JSON
    found = re.search(r'id="data">([^<]*)<', page.read_text())
    assert found
    return json.loads(gzip.decompress(b64decode(found[1])))


def test_a_step_is_a_suite_and_a_group_stands_side_by_side(tmp_path: Path) -> None:
    with run_with(tmp_path / "run", 3) as run:
        page = write_training_page(CONFIG, run)
    assert page is not None
    data = data_of(page)
    assert data["comparison"]["checkpoints"] == ["member 1", "member 2"]
    assert data["comparison"]["suites"] == ["step 1", "step 2", "step 3"]
    first, second = (result for result in data["results"] if result["suite"] == "step 2")
    assert [episode["id"] for episode in first["episodes"]] == ["rl/1/0/0", "rl/1/0/2"]
    assert [episode["solved"] for episode in second["episodes"]] == [False, True]
    assert "RL&#x27;s own dialogues: 12 of 3 steps" in page.read_text()


def test_a_long_training_is_shown_by_every_second_step(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(training_page, "MOST", 12)
    with run_with(tmp_path / "run", 5) as run:
        page = write_training_page(CONFIG, run)
    assert page is not None
    assert data_of(page)["comparison"]["suites"] == ["step 1", "step 3", "step 5"]
    assert "12 of 5 steps, one of 2 shown" in page.read_text()


def test_without_rl_there_is_no_page(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as run:
        assert write_training_page(CONFIG, run) is None
        assert write_training_page(CONFIG.model_copy(update={"rl": None}), run) is None
