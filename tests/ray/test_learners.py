"""Several learners of one run: equal weights, one list of episodes, and the same result whoever is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.cli import main
from clarify_rl.config_files import load_config, to_yaml
from clarify_rl.errors import ClarifyError
from clarify_rl.launch.learners import train_on_learners
from clarify_rl.store import Run
from tests.learner_world import learn_and_tell

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
# Two updates an epoch, so that a resumed run begins in another epoch than the first.
CONFIG = """
data:
  demonstrated: [count_beyond, chunk_list]
  held_out: [points_beyond]
  rl: {count: 8, clear_share: 0.25}
  rl_dev: {count: 5, clear_share: 0.25}
dialogue: {max_questions: 2, turn_tokens: 96, total_tokens: 256}
sft: null
rl:
  evaluation: {every: 3}
  trainer:
    max_steps: 6
    save_steps: 1
    save_total_limit: 3
    learning_rate: 1.0e-4
    num_generations: 4
    temperature: 1.5  # the base model is sure of its code: at 1 all of a group may be alike, and no weight moves
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 2
learners: {count: 2}
eval:
  suites:
    held_out: {families: held_out, count: 4}
"""
EPISODES_A_STEP = 16  # 4 in a micro-batch, 2 micro-batches, 2 learners


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the configuration and a run of it, runs/start, whose data are made."""
    folder = tmp_path_factory.mktemp("learners")
    (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    subprocess.run([*COMMAND, "data", "tiny.yaml", "out=run"], cwd=folder, env=ENV, check=True, timeout=300)
    return folder


COMMAND = (sys.executable, "-m", "clarify_rl")
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def begin(start: Path, name: str) -> Path:
    """A folder of its own that has come as far as the start."""
    shutil.copytree(start, start.parent / f"{start.name}-{name}")
    return start.parent / f"{start.name}-{name}"


def train(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "rl", "tiny.yaml", "out=run", *overrides]
    log = (folder / "log").open("a")
    return subprocess.Popen(command, cwd=folder, env=ENV, stdout=log, stderr=log, text=True)


def finish(process: subprocess.Popen[str], folder: Path) -> str:
    assert process.wait(timeout=500) == 0, (folder / "log").read_text()
    return (folder / "log").read_text()


@pytest.fixture(scope="module")
def calm(start: Path) -> Path:
    """The run that nobody disturbed."""
    folder = begin(start, "calm")
    finish(train(folder), folder)
    return folder


def result(
    folder: Path, stages: Sequence[str] = ("rl", "rl-dev")
) -> tuple[bytes, list[dict[str, Any]], list[dict[str, Any]]]:  # Any: JSON
    """Weights, episodes of the stages and metrics, without what a clock decides."""
    run, clock = folder / "run", ("time/", "rollout/tokens_per_s")
    files = [run / "episodes" / f"{stage}.jsonl" for stage in stages]
    episodes = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    for row in episodes:
        for name in ("cpu_s", "wall_s"):
            (row["execution"] or {}).pop(name, None)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    numbers = [{name: value for name, value in row.items() if not name.startswith(clock)} for row in metrics]
    return (run / "models" / "rl" / "model.safetensors").read_bytes(), episodes, numbers


def wait_for(happened: Callable[[], object], process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)


def learner_pid(folder: Path, rank: int) -> int | None:
    """The process that has the lock of this learner open."""
    lock = str(folder / "run" / f"lock.learner-{rank}")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == lock:
                return int(link.parts[2])
        except OSError:  # ended meanwhile
            continue
    return None


@pytest.mark.slow
def test_each_episode_of_every_learner_is_kept_once(calm: Path) -> None:
    _, episodes, metrics = result(calm)
    trained = [row["id"] for row in episodes if row["id"].startswith("rl/")]
    assert trained == [
        f"rl/{step}/{rank}/{i}" for step in range(6) for rank in range(2) for i in range(EPISODES_A_STEP // 2)
    ]
    assert len([row for row in metrics if "train/loss" in row]) == 6
    assert len({str(row["completion_ids"]) for row in episodes if row["id"].startswith("rl/0/")}) > 2


@pytest.mark.slow
def test_learners_share_an_evaluation_and_keep_the_best_policy(calm: Path) -> None:
    _, episodes, metrics = result(calm)
    order = [json.loads(line)["id"] for line in (calm / "run/data/rl_dev.jsonl").read_text().splitlines()]
    played = [row["variant"] for row in episodes if row["id"].startswith("rl-dev/")]
    assert played == order * 3
    rewards = {row["step"]: row["eval/reward"] for row in metrics if "eval/reward" in row}
    assert list(rewards) == [0, 3, 6]
    best = max(rewards, key=rewards.__getitem__)
    assert f"models/rl is the policy of step {best}, the best of 3" in " ".join((calm / "log").read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_learner_comes_back_and_the_result_is_the_same(calm: Path, start: Path, rank: int) -> None:
    folder = begin(start, f"lost-{rank}")
    process = train(folder)
    wait_for((folder / "run/checkpoints/rl/checkpoint-2/COMPLETE").exists, process, folder)
    pid = learner_pid(folder, rank)
    assert pid
    os.kill(pid, signal.SIGKILL)
    log = finish(process, folder)
    assert f"Learner {rank} was lost" in log
    assert "All learners go on from checkpoint-" in log
    assert result(folder) == result(calm)


@pytest.mark.slow
def test_a_killed_driver_takes_the_learners_along_and_the_resumed_run_gives_the_same(calm: Path, start: Path) -> None:
    folder = begin(start, "killed")
    process = train(folder)
    wait_for((folder / "run/checkpoints/rl/checkpoint-3/COMPLETE").exists, process, folder)
    process.kill()
    process.wait()
    finish(train(folder), folder)  # at once: the old learners may still be about to end
    assert result(folder) == result(calm)


@pytest.mark.slow
def test_ppo_with_several_learners_resumes_its_critic_too(start: Path) -> None:
    ppo = ("rl.algorithm=ppo", "rl.evaluation.every=2", "rl.trainer.max_steps=4")
    calm, killed = begin(start, "ppo-calm"), begin(start, "ppo-killed")
    for folder in (calm, killed):  # data are those of the start, whatever the algorithm
        saved = folder / "run" / "config.yaml"
        saved.write_text(to_yaml(load_config(str(folder / "tiny.yaml"), ["out=run", *ppo])))
    finish(train(calm, *ppo), calm)
    process = train(killed, *ppo)
    wait_for((killed / "run/checkpoints/rl/checkpoint-1/COMPLETE").exists, process, killed)
    process.kill()
    process.wait()
    finish(train(killed, *ppo), killed)
    assert result(killed) == result(calm)
    for name in ("model.safetensors", "critic.safetensors"):  # of the last step, whichever was the best one
        last = [(folder / "run/checkpoints/rl/checkpoint-4" / name).read_bytes() for folder in (killed, calm)]
        assert last[0] == last[1]


@pytest.mark.slow
def test_ctrl_c_ends_the_learners_and_says_how_to_go_on(start: Path) -> None:
    folder = begin(start, "interrupted")
    process = train(folder)
    wait_for((folder / "run/checkpoints/rl/checkpoint-1/COMPLETE").exists, process, folder)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    log = (folder / "log").read_text()
    assert "Traceback" not in log, log
    assert "Go on with it: clarify-rl rl tiny.yaml out=run" in log
    assert not any(learner_pid(folder, rank) for rank in range(2))


@pytest.mark.parametrize("algorithm", ["grpo", pytest.param("ppo", marks=pytest.mark.slow)])
def test_all_learners_end_with_the_same_weights(start: Path, algorithm: str) -> None:
    folder = begin(start, algorithm)
    # Without evaluation: the best policy may be the one before the first step.
    rest = ["rl.trainer.max_steps=2", "rl.evaluation.every=0"]
    overrides = [f"out={folder}/run", f"rl.algorithm={algorithm}", *rest]
    train_on_learners(learn_and_tell, load_config(str(start / "tiny.yaml"), overrides), print)
    (before, first), (_, second) = json.loads((folder / "run" / "told.json").read_text())
    assert before != first == second


@pytest.mark.slow
def test_a_mistake_is_told_once_and_not_tried_again(
    start: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begin(start, "mistake")
    monkeypatch.chdir(folder)
    # It breaks in training only: a scripted episode before that would tell.
    text = "def broken(episode):\n    return None if episode.id.startswith('rl/') else 0.0\n"
    (folder / "rewards.py").write_text(text)
    settings = ["rewards=[{use: 'rewards.py:broken'}]", "rl.evaluation.every=0"]
    assert main(["data", "tiny.yaml", "out=other", *settings]) == 0
    assert main(["rl", "tiny.yaml", "out=other", *settings]) == 2
    assert f"{EPISODES_A_STEP} of {EPISODES_A_STEP} episodes could not be measured" in capsys.readouterr().err
    assert len((folder / "other/episodes/rl.jsonl").read_text().splitlines()) == EPISODES_A_STEP


def test_a_learner_that_does_not_see_the_run_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClarifyError, match=r"does not see the run folder.*out=/path/on/shared/storage"):
        Run.share(tmp_path / "none", 1)
