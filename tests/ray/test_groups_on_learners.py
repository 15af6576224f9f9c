"""Groups that can teach, on two learners: each plays as many rounds as it needs, and a resumed run is exact."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.ray.test_learners import COMMAND, ENV, finish, result, train

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Warm enough for about half of the groups to have variance: some are exchanged, not as many everywhere.
CONFIG = """
data: {demonstrated: [count_beyond, chunk_list], held_out: [points_beyond], rl: {count: 16, clear_share: 0.5}}
dialogue: {max_questions: 1, turn_tokens: 64, total_tokens: 160}
sft: null
rl:
  groups: {resample: 2, by_solve_rate: true, ask_share: 0.25, code_share: 0.25}
  trainer:
    max_steps: 4
    save_steps: 1
    save_total_limit: 9
    learning_rate: 1.0e-4
    temperature: 1.2
    num_generations: 8
    per_device_train_batch_size: 16
    gradient_accumulation_steps: 1
learners: {count: 2}
eval:
  suites:
    held_out: {families: held_out, count: 4}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two learners have trained."""
    made = tmp_path_factory.mktemp("groups")
    (made / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    subprocess.run([*COMMAND, "data", "tiny.yaml", "out=run"], cwd=made, env=ENV, check=True, timeout=300)
    finish(train(made), made)
    return made


def test_each_learner_plays_as_many_groups_as_it_needs(folder: Path) -> None:
    _, episodes, metrics = result(folder, ["rl"])
    played = Counter(tuple(row["id"].split("/")[1:3]) for row in episodes)
    assert set(played) == {(str(step), str(rank)) for step in range(4) for rank in range(2)}
    assert any(played[str(step), "0"] != played[str(step), "1"] for step in range(4))
    assert any(row.get("group/replaced") for row in metrics)
    steps = [row for row in metrics if "rollout/episodes" in row]
    assert all(row["rollout/episodes"] == sum(played[str(row["step"] - 1), rank] for rank in "01") for row in steps)


def test_no_two_learners_play_the_same_variant_in_a_step(folder: Path) -> None:
    """By solve rate, each draws from its own share of the problems."""
    _, episodes, _ = result(folder, ["rl"])
    for step in range(4):
        mine, others = ({row["variant"] for row in episodes if row["id"].startswith(f"rl/{step}/{r}/")} for r in "01")
        assert mine
        assert not mine & others


def test_resumed_learners_go_on_exactly(folder: Path) -> None:
    before, run = result(folder, ["rl"]), folder / "run"
    (run / "stages" / "rl.json").unlink()
    shutil.rmtree(run / "models" / "rl")
    for step in (3, 4):
        shutil.rmtree(run / "checkpoints" / "rl" / f"checkpoint-{step}")
    finish(train(folder), folder)
    assert json.dumps(result(folder, ["rl"])[1:]) == json.dumps(before[1:])
    assert result(folder, ["rl"])[0] == before[0]
